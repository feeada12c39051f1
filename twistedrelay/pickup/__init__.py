"""Mail by file: the pickup and replay directories, and the C{sendmail} command that fills them."""
