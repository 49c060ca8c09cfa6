"""What files hold, from their names and bytes. Nothing is loaded or run."""
