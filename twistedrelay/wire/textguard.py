"""Message content on its way out by BDAT: as it is, and never with what text must not hold.

Decides whether octets may leave: there is no bare CR, no bare LF and no NUL in text, as L{twistedrelay.wire.stuffing} sees to by DATA.
There such an octet is repaired; here it cannot be, since the size of the whole was said before, so it is a failure.  Content in the spool
has none, but a defect elsewhere must not become SMTP smuggling here.  A last line without its CRLF is no fault: a chunk is what it is,
octet for octet, and needs no line end to be told from what follows.

Sources: RFC 5321 section 2.3.8, RFC 3030 section 2.
"""

from __future__ import annotations

from twistedrelay.wire.lineends import only_crlf


class ContentError(Exception):
    """Content cannot be sent as was said; C{str()} says why."""


class TextGuard:
    """The content of one message, chunk by chunk."""

    __slots__ = ("_cr_seen",)

    def __init__(self) -> None:
        self._cr_seen = False  # at the end of the last chunk: the next octet says whether it is bare

    def feed(self, chunk: bytes) -> bytes:
        """The octets to send for the next chunk of content, which are the same.

        @raise ContentError: they must not be sent.
        """
        if not chunk:
            return chunk
        seen = b"\r" + chunk if self._cr_seen else chunk
        self._cr_seen = chunk.endswith(b"\r")
        if b"\0" in chunk or not only_crlf(seen[:-1] if self._cr_seen else seen):
            raise ContentError("there is a NUL or a bare CR or LF in it")
        return chunk

    def finish(self) -> bytes:
        """What ends the content: nothing.

        @raise ContentError: there is something that would have to be ended.
        """
        if self._cr_seen:
            raise ContentError("it ends with a bare CR")
        return b""
