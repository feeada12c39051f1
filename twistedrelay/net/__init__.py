"""The SMTP listeners: Twisted at the edge of the sans-I/O engine."""
