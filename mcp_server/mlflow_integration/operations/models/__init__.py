"""The model registry: read, register, promote."""
