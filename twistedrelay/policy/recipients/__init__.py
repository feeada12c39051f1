"""Which addresses of an accepted domain exist: a list, a directory, or what the next hop says."""
