"""Runs that are created, added to, ended and changed."""
