"""Certificates for scripted servers."""

from __future__ import annotations

import ssl

import trustme


def server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    """A server's context with a certificate for these names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def without_certificate() -> ssl.SSLContext:
    """A server's context in which every handshake fails."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
