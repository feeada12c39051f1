"""SMTP without I/O: bytes in, events out, both as a server and as a client."""
