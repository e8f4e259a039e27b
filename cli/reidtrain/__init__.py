"""The commands of `reidtrain`, one a file."""
