"""TLS: the certificate store and the contexts of both sides."""
