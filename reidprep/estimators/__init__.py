"""Pose estimators: what one must offer, those there are, and how one is made by name."""
