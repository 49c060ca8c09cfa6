"""The commands for people: check, demo, run."""
