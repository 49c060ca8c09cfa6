"""One test per code block of the five guides, named after its heading."""
