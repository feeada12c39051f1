"""SMTP replies: the value, and the catalogue of every reply this server gives.

A L{Reply} is the only way to answer an SMTP command.  Private reasons never go into its text; they go to the log.

Sources: RFC 5321 section 4.2, RFC 3463 (enhanced codes), RFC 2034.
"""

from __future__ import annotations

import re

import attrs

from twistedrelay.values.printable import masked

_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?: |$)")


@attrs.frozen(slots=True)
class Reply:
    """One SMTP reply.

    @ivar code: the three digit code.
    @ivar enhanced: the enhanced status code (RFC 3463), or an empty string where none is sent (banner, 354, 334, EHLO).
    @ivar text: what follows; several lines are separated by C{"\\n"}.
    """

    code: int
    enhanced: str
    text: str
    _octets: bytes | None = attrs.field(default=None, init=False, eq=False, repr=False)

    @property
    def lines(self) -> list[str]:
        """The text of each reply line, with the enhanced code in front of each where there is one."""
        prefix = f"{self.enhanced} " if self.enhanced else ""
        return [prefix + line for line in self.text.split("\n")]

    @property
    def wire(self) -> bytes:
        """The octets to send, CRLF at the end of each line.  Made once: most replies are constants."""
        octets = self._octets
        if octets is None:
            octets = self._encode()
            object.__setattr__(self, "_octets", octets)
        return octets

    def _encode(self) -> bytes:
        lines = self.lines
        shown = [f"{self.code}-{line}\r\n" for line in lines[:-1]]
        shown.append(f"{self.code} {lines[-1]}\r\n")
        return "".join(shown).encode("utf-8", "replace")

    @property
    def is_positive(self) -> bool:
        """2xx or 3xx."""
        return self.code < 400

    @property
    def is_transient(self) -> bool:
        """4xx: try again later."""
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        """5xx: do not try again."""
        return self.code >= 500

    @property
    def status(self) -> str:
        """The enhanced code, or the generic one of the reply's class (C{"5.0.0"}) where none was given."""
        return self.enhanced or f"{min(self.code // 100, 5)}.0.0"

    def __str__(self) -> str:
        return f"{self.code} " + " ".join(self.lines)

    @classmethod
    def parse(cls, code: int, lines: list[str]) -> Reply:
        """A reply of a remote server from its lines (without code and separator).

        The enhanced code is taken off each line that carries the first line's; control characters become C{"?"}, so
        that a remote text can never break a log, a spool field or a report.
        """
        clean = [masked(line) for line in lines] or [""]
        found = _ENHANCED.match(clean[0])
        if found is None or int(found[1]) != code // 100:
            return cls(code, "", "\n".join(clean))
        enhanced = found[0].rstrip()
        return cls(code, enhanced, "\n".join(line.removeprefix(enhanced).lstrip() for line in clean))


#: The replies of Exchange Server's frontend, word for word where they are known.
HELP = Reply(
    214, "2.0.0", "This server supports the following commands:\nHELO EHLO STARTTLS RCPT DATA RSET MAIL QUIT HELP AUTH NOOP VRFY BDAT"
)
STARTTLS_READY = Reply(220, "2.0.0", "SMTP server ready")
QUIT = Reply(221, "2.0.0", "Service closing transmission channel")
AUTH_OK = Reply(235, "2.7.0", "Authentication successful")
HELLO_OK = Reply(250, "", "Hello")  #: accepts HELO and EHLO: the engine sends its own lines instead
SENDER_OK = Reply(250, "2.1.0", "Sender OK")
PRIORITY_LOWERED = Reply(250, "2.3.6", "0 is the new priority of the message")  #: RFC 6710 section 4.1
RECIPIENT_OK = Reply(250, "2.1.5", "Recipient OK")
RESET = Reply(250, "2.0.0", "Resetting")
NOOP = Reply(250, "2.0.0", "OK")
CANNOT_VRFY = Reply(252, "2.1.5", "Cannot VRFY user")
CHUNK_ACCEPTED = Reply(250, "2.0.0", "Octets received")  #: a chunk of BDAT
START_INPUT = Reply(354, "", "Start mail input; end with <CRLF>.<CRLF>")

SERVICE_NOT_AVAILABLE = Reply(421, "4.3.2", "Service not available")
TOO_MANY_CONNECTIONS = Reply(
    421, "4.3.2", "The maximum number of concurrent connections has exceeded a limit, closing transmission channel"
)
CONNECTION_RATE_EXCEEDED = Reply(
    421, "4.3.2", "The rate of connections has exceeded a limit (max_connection_rate_per_minute), closing transmission channel"
)
INTERNAL_ERROR = Reply(421, "4.3.0", "Temporary server error, closing transmission channel")
#: Never sent: what is logged where a connection was closed without a word.
SILENCE = Reply(421, "4.3.2", "Closed without a word")
BUFFERS_FULL = Reply(421, "4.3.1", "Insufficient system resources (max_buffered_size), closing transmission channel")
TIMED_OUT = Reply(421, "4.4.1", "Connection timed out")
TOO_SLOW = Reply(421, "4.4.1", "The message arrives too slowly (min_data_rate), closing transmission channel")
RATE_EXCEEDED = Reply(421, "4.4.2", "Message submission rate for this client has exceeded the configured limit")
TOO_MANY_ERRORS = Reply(421, "4.7.0", "Too many errors on this connection (max_protocol_errors), closing transmission channel")
TOO_MANY_FAILED_LOGONS = Reply(421, "4.7.0", "Too many failed logons on this connection (max_logon_failures), closing transmission channel")
LOCAL_ERROR = Reply(451, "4.3.0", "Temporary server error. Please try again later.")
RECIPIENT_LOOKUP_FAILED = Reply(451, "4.4.3", "Recipient cannot be looked up now. Please try again later.")
SYSTEM_RESOURCES = Reply(452, "4.3.1", "Insufficient system resources")
TOO_MANY_RECIPIENTS = Reply(452, "4.5.3", "Too many recipients")
TLS_NOT_AVAILABLE = Reply(454, "4.7.0", "TLS not available due to temporary reason")
LOGON_LOCKED = Reply(454, "4.7.0", "Too many failed logons, try again later (logon_lockout_threshold)")
AUTH_TEMPORARY = Reply(454, "4.7.0", "Temporary authentication failure")

UNRECOGNIZED = Reply(500, "5.3.3", "Unrecognized command")
LINE_TOO_LONG = Reply(500, "5.5.6", "Line too long")
BAD_SENDER = Reply(501, "5.1.7", "Invalid address")
BAD_RECIPIENT = Reply(501, "5.1.3", "Invalid address")
XCLIENT_NEEDS_ADDRESS = Reply(501, "5.5.4", "XCLIENT needs ADDR, and an address that is known")
XCLIENT_NO_LOGIN = Reply(501, "5.5.4", "XCLIENT with LOGIN is not accepted here")
BAD_DOMAIN = Reply(501, "5.5.4", "Invalid domain name")
DOMAIN_REQUIRED = Reply(501, "5.5.4", "Invalid domain name: one must be given (require_ehlo_domain)")
BAD_ARGUMENTS = Reply(501, "5.5.4", "Invalid arguments")
BAD_CHUNK = Reply(501, "5.5.4", "Invalid arguments, closing transmission channel")
HOLD_TOO_LONG = Reply(501, "5.5.4", "Requested hold exceeds the limit (max_future_release_interval)")
AUTH_CANCELLED = Reply(501, "5.7.0", "Authentication cancelled")
AUTH_SYNTAX = Reply(501, "5.5.2", "Cannot decode response")
NOT_IMPLEMENTED = Reply(502, "5.5.1", "Command not implemented")
HELLO_FIRST = Reply(503, "5.5.2", "Send hello first")
NEED_MAIL = Reply(503, "5.5.2", "Need mail command")
NEED_RCPT = Reply(503, "5.5.2", "Need rcpt command")
SENDER_SPECIFIED = Reply(503, "5.5.2", "Sender already specified")
BAD_SEQUENCE = Reply(503, "5.5.2", "Bad sequence of commands")
ALREADY_AUTHENTICATED = Reply(503, "5.5.2", "Already authenticated")
UNRECOGNIZED_AUTH = Reply(504, "5.7.4", "Unrecognized authentication type")
STARTTLS_REQUIRED = Reply(530, "5.7.0", "Must issue a STARTTLS command first")
NOT_AUTHENTICATED = Reply(530, "5.7.57", "SMTP; Client was not authenticated to send anonymous mail during MAIL FROM")
AUTH_FAILED = Reply(535, "5.7.3", "Authentication unsuccessful")
AUTH_NEEDS_TLS = Reply(538, "5.7.11", "Encryption required for requested authentication mechanism")
BAD_RETURN_PATH = Reply(550, "5.1.1", "SRS; The return path is not one of this server, or too old")
USER_UNKNOWN = Reply(550, "5.1.1", "User unknown")
RESERVED_TOP_LEVEL_DOMAIN = Reply(550, "5.1.4", "Recipient address reserved by RFC 2606")
RESERVED_SECOND_LEVEL_DOMAIN = Reply(550, "5.1.5", "Recipient address reserved by RFC 2606")
SINGLE_LABEL_DOMAIN = Reply(550, "5.1.6", "Recipient addresses in single label domains not accepted")
NO_SUBMIT_RIGHT = Reply(550, "5.7.1", "Client does not have permissions to submit to this server")
BARE_LINE_ENDING = Reply(550, "5.6.11", "Message contains bare CR, bare LF or NUL, which SMTP does not allow")
UNABLE_TO_RELAY = Reply(550, "5.7.54", "SMTP; Unable to relay recipient in non-accepted domain")
SEND_AS_DENIED = Reply(550, "5.7.60", "SMTP; Client does not have permissions to send as this sender")
MESSAGE_TOO_LARGE = Reply(552, "5.3.4", "Message size exceeds fixed maximum message size")
HEADER_TOO_LARGE = Reply(552, "5.3.4", "Header size exceeds fixed maximum size (max_header_size)")
NO_VALID_RECIPIENTS = Reply(554, "5.5.1", "No valid recipients")
NON_ASCII_SENDER = Reply(550, "5.6.7", "Non-ASCII addresses are not permitted without SMTPUTF8")  #: RFC 6531 section 3.5
NON_ASCII_RECIPIENT = Reply(553, "5.6.7", "Non-ASCII addresses are not permitted without SMTPUTF8")
HOP_COUNT_EXCEEDED = Reply(554, "5.4.6", "Hop count exceeded - possible mail loop (max_hop_count)")
LOCAL_HOP_COUNT_EXCEEDED = Reply(554, "5.4.6", "Hop count exceeded - possible mail loop (max_local_hop_count)")
UNKNOWN_PARAMETER = Reply(555, "5.5.4", "Unsupported parameter")
