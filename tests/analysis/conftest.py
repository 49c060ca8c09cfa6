"""Imports numpy before any test: pytest.approx must not meet it half imported by a server that warms up in a thread."""

import numpy as numpy
