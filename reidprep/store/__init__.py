"""A directory of files with a manifest: written so that a kill at any moment loses no whole file."""
