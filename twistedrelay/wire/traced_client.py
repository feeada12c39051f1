"""A client engine that tells each line of its dialogue, for the protocol log of a send connector that wants one, and for who watches.

It decides which words may be told: the name of a mechanism and nothing else of a login, neither our answers nor the server's challenges,
nor what the server repeats of them.
The content of messages is never told.  Other connections have an engine without any of this.

Source: Exchange Server, "Protocol logging" (what is masked).
"""

from __future__ import annotations

from collections.abc import Callable

from twistedrelay.wire.client import SMTPClient
from twistedrelay.wire.client_replies import RawReply, ReplyParser
from twistedrelay.wire.client_values import ClientSettings, Stage
from twistedrelay.wire.traced import MASK, Trace
from twistedrelay.wire.traced import text_of as _text


class TracedReplies(ReplyParser):
    """Replies that are told when they are read."""

    __slots__ = ("_hear",)

    def __init__(self, hear: Callable[[RawReply], None]) -> None:
        super().__init__()
        self._hear = hear

    def next(self) -> RawReply | None:
        """See L{ReplyParser}."""
        raw = super().next()
        if raw is not None:
            self._hear(raw)
        return raw


class TracedClient(SMTPClient):
    """See the module."""

    def __init__(self, settings: ClientSettings, trace: Trace) -> None:
        super().__init__(settings)
        self._parser = TracedReplies(self._heard)
        self._trace = trace
        self._told = 0  # how much of what waits to be sent was told, or must not be

    def data_to_send(self) -> bytes:
        """See L{SMTPClient}."""
        self._tell()
        self._told = 0
        return super().data_to_send()

    def content(self, chunk: bytes) -> None:
        """See L{SMTPClient}."""
        self._tell()
        super().content(chunk)
        self._told = len(self._output)

    def end_content(self) -> None:
        """See L{SMTPClient}."""
        self._tell()
        super().end_content()
        self._told = len(self._output)

    def _tell(self) -> None:
        login = self.stage is Stage.AUTH
        for octets in self._output[self._told :]:
            for line in octets.split(b"\r\n")[:-1]:
                self._trace(">", _login(line) if login or line[:5].upper() == b"AUTH " else _text(line))
        self._told = len(self._output)

    def _heard(self, raw: RawReply) -> None:
        self._tell()
        login, last = self.stage is Stage.AUTH, len(raw.lines) - 1
        for index, line in enumerate(raw.lines):
            if raw.code == 334:
                self._trace("<", f"334 {MASK}")
            else:
                text = self._setup.masked(line.decode("utf-8", "backslashreplace")).encode() if login else line
                self._trace("<", f"{raw.code}{' ' if index == last else '-'}{_text(text)}")


def _login(line: bytes) -> str:
    words = line.split(b" ")
    if words[0].upper() != b"AUTH" or len(words) < 2:
        return "*" if line == b"*" else MASK
    return f"AUTH {_text(words[1])}" + (f" {MASK}" if len(words) > 2 else "")
