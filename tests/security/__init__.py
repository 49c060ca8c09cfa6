"""What must not get out, and what must not be reached."""
