"""Artifacts: real files of real runs, read through every store."""
