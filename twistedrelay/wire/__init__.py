"""SMTP and LMTP without I/O: bytes in, events out."""
