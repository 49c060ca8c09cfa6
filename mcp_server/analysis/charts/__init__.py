"""What a chart shows: points, axes, labels, and a description in words."""
