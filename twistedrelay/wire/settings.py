"""How one receive connector wants the server engine to behave, and the length of lines.

Sources: RFC 5321 section 4.5.3.1, and for how much longer a line may be, the RFCs of the extensions; Set-ReceiveConnector for the
switches.
"""

from __future__ import annotations

import attrs

#: Octets of a command line, CRLF included.
COMMAND_LIMIT = 512
#: MAIL with SIZE (RFC 1870: 26), BODY (RFC 6152: 17), AUTH (RFC 4954: 500), RET and ENVID (RFC 3461: 9 and 107), SMTPUTF8 (RFC 6531: 10),
#: REQUIRETLS (RFC 8689: 11), BY (RFC 2852: 17), HOLDFOR or HOLDUNTIL (RFC 4865: 34) and MT-PRIORITY (RFC 6710: 15).
MAIL_LIMIT = COMMAND_LIMIT + 26 + 17 + 500 + 9 + 107 + 10 + 11 + 17 + 34 + 15
#: RCPT with NOTIFY and ORCPT (RFC 3461: 29 and 507).
RCPT_LIMIT = COMMAND_LIMIT + 29 + 507
#: XCLIENT: eight values, two of which may have 255 octets before they are encoded.
XCLIENT_LIMIT = 2048
#: AUTH with an initial response, and each response (RFC 4954 section 4).
AUTH_LIMIT = 12288


@attrs.frozen(slots=True)
class ServerSettings:
    """The settings of an L{twistedrelay.wire.server.SMTPServer}.

    @ivar fqdn: our name in the reply to HELO and EHLO.
    @ivar client_address_text: the client's address for that reply, without brackets.
    @ivar max_message_size: octets of a message after unstuffing, or None for no limit.
    @ivar size_enabled: C{"Enabled"}, C{"EnabledWithoutValue"} (SIZE is offered without the limit) or C{"Disabled"}.
    @ivar lmtp: LHLO instead of HELO and EHLO, and a reply for each recipient at the end of the message (RFC 2033).
    @ivar pipelining: offer PIPELINING.
    @ivar enhanced_status_codes: offer ENHANCEDSTATUSCODES, and put the codes into replies.
    @ivar eight_bit_mime: offer 8BITMIME and take BODY.
    @ivar chunking: offer CHUNKING and take BDAT.
    @ivar binary_mime: offer BINARYMIME, with C{chunking} only.
    @ivar smtp_utf8: offer SMTPUTF8 and take addresses beyond ASCII with it, with C{eight_bit_mime} only.
    @ivar dsn: offer DSN and take RET, ENVID, NOTIFY, ORCPT.
    @ivar requiretls: offer REQUIRETLS, under TLS only.
    @ivar deliver_by: offer DELIVERBY and take BY.
    @ivar future_release: offer FUTURERELEASE: the most seconds to hold a message, or None.
    @ivar future_release_until: the latest time to hold a message to, seconds since the epoch; goes with C{future_release}.
    @ivar mt_priority: offer MT-PRIORITY.
    @ivar max_recipients: LIMITS with RCPTMAX (RFC 9422), or None for no LIMITS.
    @ivar xclient: offer XCLIENT: the peer may say for whom it speaks.
    @ivar implicit_tls: the connection begins with TLS: no STARTTLS.
    @ivar offer_starttls: STARTTLS may be used.
    @ivar require_tls: nothing but the way to TLS is open in clear text.
    @ivar auth_mechanisms: SASL mechanisms of the connector in the order to offer them; those that L{twistedrelay.wire.sasl} knows.
    @ivar auth_requires_tls: offer and take AUTH under TLS only.
    @ivar lenient_syntax_enabled: take spaces round the colon of MAIL FROM: and RCPT TO:, addresses without angle brackets, a final dot on
        a domain, and any single word as a name in HELO and EHLO.
    @ivar require_ehlo_domain: HELO and EHLO without a name are refused.
    @ivar bare_linefeed_rejection_enabled: a bare CR or LF in a message is a fault; else it becomes CRLF.
    @ivar replies: how many replies were given by their codes, which each engine with these settings adds to.
    """

    fqdn: str
    client_address_text: str
    max_message_size: int | None = None
    size_enabled: str = "Enabled"
    lmtp: bool = False
    pipelining: bool = True
    enhanced_status_codes: bool = True
    eight_bit_mime: bool = True
    chunking: bool = True
    binary_mime: bool = True
    smtp_utf8: bool = True
    dsn: bool = True
    requiretls: bool = True
    deliver_by: bool = False
    future_release: int | None = None
    future_release_until: int = 0
    mt_priority: bool = False
    max_recipients: int | None = None
    xclient: bool = False
    implicit_tls: bool = False
    offer_starttls: bool = False
    require_tls: bool = False
    auth_mechanisms: tuple[str, ...] = ()
    auth_requires_tls: bool = True
    lenient_syntax_enabled: bool = True
    require_ehlo_domain: bool = False
    bare_linefeed_rejection_enabled: bool = True
    replies: dict[int, int] = attrs.field(factory=dict, eq=False, repr=False)
