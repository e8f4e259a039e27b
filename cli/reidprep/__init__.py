"""The commands of `reidprep`, one a file."""
