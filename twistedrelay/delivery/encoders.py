"""Content-Transfer-Encodings, chunk by chunk.

Decides nothing: it encodes what it is given, so that the result does not depend on how that is cut.  What is encoded as quoted-printable
has CRLF line ends, which stay; base64 takes any octets.  The last line gets no line end: in a multipart it belongs to the delimiter.

Source: RFC 2045 sections 6.7 and 6.8.
"""

from __future__ import annotations

import base64
import binascii
from typing import Protocol

LINE = 57  #: octets that make a line of 76 characters
MAX_HELD = 65_536  #: octets of a line that are held back


class Encoder(Protocol):
    """One encoding at work on one body."""

    def feed(self, chunk: bytes) -> bytes:
        """What can be said of it so far."""

    def finish(self) -> bytes:
        """The rest."""


class Base64:
    """See L{Encoder}."""

    def __init__(self) -> None:
        self._held = b""
        self._begun = False

    def feed(self, chunk: bytes) -> bytes:
        """See L{Encoder.feed}."""
        data = self._held + chunk
        whole = len(data) - len(data) % LINE
        self._held = data[whole:]
        return self._lines(data[:whole])

    def finish(self) -> bytes:
        """See L{Encoder.finish}."""
        held, self._held = self._held, b""
        return self._lines(held)

    def _lines(self, data: bytes) -> bytes:
        if not data:
            return b""
        encoded = base64.b64encode(data)
        text = b"\r\n".join(encoded[start : start + 76] for start in range(0, len(encoded), 76))
        begun, self._begun = self._begun, True
        return b"\r\n" + text if begun else text


class QuotedPrintable:
    """See L{Encoder}; for text."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """See L{Encoder.feed}."""
        data = self._held + chunk
        end = data.rfind(b"\n") + 1
        self._held = data[end:]
        encoded = _quoted(data[:end])
        while len(self._held) >= MAX_HELD:  # always at the same places of a line, wherever the chunks end
            encoded += _quoted(self._held[:MAX_HELD]) + b"=\r\n"
            self._held = self._held[MAX_HELD:]
        return encoded

    def finish(self) -> bytes:
        """See L{Encoder.finish}."""
        held, self._held = self._held, b""
        return _quoted(held)


def _quoted(data: bytes) -> bytes:
    # The library's line ends follow those of the data, where it has any.
    return binascii.b2a_qp(data, istext=True).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
