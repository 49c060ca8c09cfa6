"""The Python API: what training scripts import."""
