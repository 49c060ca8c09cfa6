"""What a learning curve shows."""
