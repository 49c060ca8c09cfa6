"""The Python face of the server: what training scripts import."""
