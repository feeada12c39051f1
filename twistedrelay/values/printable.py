"""Foreign text made fit to show: in a log line, a table, a terminal, a reply or a report.

What is not printable (C{str.isprintable}) is controls, line separators, bidirectional overrides and lone surrogates alike.
"""

from __future__ import annotations

import re

_LOGIN = re.compile(r"(?<=://)[^\s/@\"']+@")
_QUERY = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*://[^\s?#\"']*)\?[^\s#\"']+")


def escape(text: str) -> str:
    """The text with everything that is not printable as a backslash escape, for who wants to know what it was."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def masked(text: str, mark: str = "?") -> str:
    """The text with C{mark} in the place of everything that is not printable, for where an escape could be taken for the text."""
    return text if text.isprintable() else "".join(c if c.isprintable() else mark for c in text)


def public_url(text: str) -> str:
    """The text without what may be a secret in addresses of web pages: a login in front of the host, and the query."""
    return _QUERY.sub(r"\1?***", _LOGIN.sub("***@", text)) if "://" in text else text


def host_port(host: str, port: int) -> str:
    """C{192.0.2.1:25}, C{[2001:db8::1]:25}, C{host.example:25}."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
