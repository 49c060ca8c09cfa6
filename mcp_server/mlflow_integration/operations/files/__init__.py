"""Artifacts, and the local files that they come from and go to."""
