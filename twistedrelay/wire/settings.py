"""How one receive connector wants the server engine to behave, and the length of lines.

Sources: RFC 5321 section 4.5.3.1, RFC 1870, RFC 6152, RFC 4954 section 4.3; Set-ReceiveConnector for the switches.
"""

from __future__ import annotations

import attrs

#: Octets of a command line, CRLF included.
COMMAND_LIMIT = 512
#: MAIL with SIZE (RFC 1870: 26), BODY (RFC 6152: 17) and AUTH (RFC 4954: 500).
MAIL_LIMIT = COMMAND_LIMIT + 26 + 17 + 500
#: AUTH with an initial response, and each response (RFC 4954 section 4).
AUTH_LIMIT = 12288


@attrs.frozen(slots=True)
class ServerSettings:
    """The settings of an L{twistedrelay.wire.server.SMTPServer}.

    @ivar fqdn: our name in the reply to HELO and EHLO.
    @ivar client_address_text: the client's address for that reply, without brackets.
    @ivar max_message_size: octets of a message after unstuffing, or None for no limit.
    @ivar size_enabled: offer SIZE and take the parameter.
    @ivar implicit_tls: the connection begins with TLS: no STARTTLS.
    @ivar offer_starttls: STARTTLS may be used.
    @ivar auth_mechanisms: SASL mechanisms of the connector in the order to offer them; those that L{twistedrelay.wire.sasl} knows.
    @ivar auth_requires_tls: offer and take AUTH under TLS only.
    @ivar lenient_syntax_enabled: take spaces round the colon of MAIL FROM: and RCPT TO:, addresses without angle brackets, a final dot on
        a domain, and any single word as a name in HELO and EHLO.
    @ivar require_ehlo_domain: HELO and EHLO without a name are refused.
    @ivar bare_linefeed_rejection_enabled: a bare CR or LF in a message is a fault; else it becomes CRLF.
    """

    fqdn: str
    client_address_text: str
    max_message_size: int | None = None
    size_enabled: bool = True
    implicit_tls: bool = False
    offer_starttls: bool = False
    auth_mechanisms: tuple[str, ...] = ()
    auth_requires_tls: bool = True
    lenient_syntax_enabled: bool = True
    require_ehlo_domain: bool = False
    bare_linefeed_rejection_enabled: bool = True
