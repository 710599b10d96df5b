"""One module per payload dialect, pure functions from bytes to readings or a reject."""
