"""What many runs of one experiment say together: configurations, noise, effects."""
