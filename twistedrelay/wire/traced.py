"""A server engine that tells each line of its dialogue, for the protocol log of a connector that wants one.

It decides which words may be told: nothing behind AUTH but the name of a mechanism that exists, no answer to a challenge and no
challenge, no line that might be one because it came after AUTH and is no command, of an unknown command at most the first word, and
nothing of a line that is too long.  The content of messages is never told.  Other connectors have an engine without any of this.

Source: Exchange Server, "Protocol logging" (what is masked).
"""

from __future__ import annotations

from collections.abc import Callable

from twistedrelay.values.printable import escape
from twistedrelay.wire.commands import READERS, UNTOLD, unknown
from twistedrelay.wire.lines import LineBuffer, LineTooLong
from twistedrelay.wire.server import SMTPServer
from twistedrelay.wire.settings import ServerSettings

#: Takes C{">"} or C{"<"}, and a line without its end.
Trace = Callable[[str, str], None]

#: What stands for a secret, as in Exchange's log.
MASK = "<authentication response>"
TOO_LONG = "<a line that is too long>"

#: Longest line that is told.
MAX_LINE = 1000

_COMMANDS = frozenset((*READERS, b"STARTTLS", b"LHLO", b"BDAT", b"XCLIENT"))
#: The mechanisms that clients try; whatever else stands behind AUTH might be a misplaced secret.
_MECHANISMS = frozenset(
    (
        *(b"ANONYMOUS", b"CRAM-MD5", b"DIGEST-MD5", b"EXTERNAL", b"GS2-KRB5", b"GSSAPI", b"KERBEROS_V4", b"LOGIN", b"NTLM"),
        *(b"OAUTHBEARER", b"PLAIN", b"SCRAM-SHA-1", b"SCRAM-SHA-1-PLUS", b"SCRAM-SHA-256", b"SCRAM-SHA-256-PLUS", b"WDIGEST", b"XOAUTH2"),
    )
)


class TracedLines(LineBuffer):
    """Lines that are told when they are read."""

    __slots__ = ("_hear",)

    def __init__(self, hear: Callable[[bytes | None, bool], None]) -> None:
        super().__init__()
        self._hear = hear

    def line(self, *, response: bool = False) -> bytes | None:
        """See L{LineBuffer}; None is told for a line that is too long."""
        try:
            line = super().line(response=response)
        except LineTooLong:
            self._hear(None, response)
            raise
        if line is not None:
            self._hear(line, response)
        return line


class TracedServer(SMTPServer):
    """See the module."""

    __slots__ = ("_auth_seen", "_told", "_trace")

    def __init__(self, settings: ServerSettings, trace: Trace) -> None:
        super().__init__(settings)
        self._lines = TracedLines(self._heard)
        self._trace = trace
        self._told = 0  # how many of the replies that wait to be sent were told
        self._auth_seen = False

    def data_to_send(self) -> bytes:
        """See L{SMTPServer}."""
        self._tell_replies()
        self._told = 0
        return super().data_to_send()

    def _heard(self, line: bytes | None, response: bool) -> None:
        self._tell_replies()
        if response:
            self._trace("<", "*" if line == b"*" else MASK)
        elif line is None:
            self._trace("<", TOO_LONG)
        else:
            self._trace("<", self._command_text(line))

    def _tell_replies(self) -> None:
        for octets in self._out[self._told :]:
            for line in octets.split(b"\r\n")[:-1]:
                self._trace(">", f"334 {MASK}" if line.startswith(b"334 ") else text_of(line))
        self._told = len(self._out)

    def _command_text(self, line: bytes) -> str:
        words = line.split(None, 2)
        verb = words[0].upper() if words else b""
        if verb == b"AUTH":
            self._auth_seen = True
            if len(words) < 2:
                return "AUTH"
            mechanism = words[1].upper()
            shown = f"AUTH {mechanism.decode('ascii')}" if mechanism in _MECHANISMS else f"AUTH {UNTOLD}"
            return shown if len(words) < 3 else f"{shown} {MASK}"
        if verb in _COMMANDS:
            return text_of(line)
        if self._auth_refused or (self._auth_seen and not self.authenticated):
            return UNTOLD
        self._auth_seen |= verb.startswith(b"AUTH")  # misspelled: its secrets may follow all the same
        return unknown(line)


def text_of(line: bytes) -> str:
    """A line as it may be told."""
    return escape(line[:MAX_LINE].decode("utf-8", "backslashreplace"))
