"""What a session has agreed on so far, which commands may come next, and what EHLO offers.

All rules of order are here: each C{refuse_*} method gives the reply to a command that may not come now, or None.

Sources: RFC 5321 sections 4.1.1.1 and 4.1.4, RFC 3207 section 4.2, RFC 4954 section 4, RFC 3030 section 2 (BDAT), RFC 2033 (LHLO); the
RFCs of the extensions for their keywords.
"""

from __future__ import annotations

import datetime

import attrs

from twistedrelay.values import reply as replies
from twistedrelay.values.envelope import NO_MAIL_PARAMETERS, MailParameters
from twistedrelay.values.reply import Reply
from twistedrelay.wire import mechanisms, xclient
from twistedrelay.wire.bdat import ChunkReceiver
from twistedrelay.wire.parameters import offers_binary_mime, offers_smtp_utf8
from twistedrelay.wire.settings import ServerSettings


@attrs.define(slots=True)
class SessionState:
    """The state of one session.

    @ivar secure: the connection is under TLS.
    @ivar authenticated: AUTH succeeded.
    @ivar hello: the verb of the hello in force, or C{""}.
    @ivar in_transaction: MAIL was accepted.
    @ivar rcpt_seen: RCPT was tried in this transaction.
    @ivar recipients: how many recipients were accepted in it.
    @ivar parameters: those of the accepted MAIL.
    @ivar chunks: the message that comes by BDAT, from its first chunk on.
    @ivar refused: the reply to a chunk that was refused, and how often the last chunk of that message gets it: a client may have sent more
        of them before it read the reply, and they must neither pass for commands nor begin another message.
    """

    secure: bool = False
    authenticated: bool = False
    hello: str = ""
    in_transaction: bool = False
    rcpt_seen: bool = False
    recipients: int = 0
    parameters: MailParameters = NO_MAIL_PARAMETERS
    chunks: ChunkReceiver | None = None
    refused: tuple[Reply, int] | None = None

    @property
    def extended(self) -> bool:
        """Extensions were offered."""
        return self.hello != "HELO"

    def begin_transaction(self, parameters: MailParameters) -> None:
        """MAIL was accepted."""
        self.in_transaction = True
        self.parameters = parameters
        self.refused = None

    def forget_transaction(self) -> None:
        """No MAIL and no RCPT was ever given: always both."""
        self.in_transaction = False
        self.rcpt_seen = False
        self.recipients = 0
        self.parameters = NO_MAIL_PARAMETERS
        self.chunks = None
        self.refused = None

    def begin_tls(self) -> None:
        """The connection is under TLS; whatever the client said in the clear is forgotten."""
        self.secure = True
        self.authenticated = False
        self.hello = ""
        self.forget_transaction()

    def refuse_mail(self) -> Reply | None:
        """Before MAIL there must be a hello, and no open transaction."""
        if not self.hello:
            return replies.HELLO_FIRST
        return replies.SENDER_SPECIFIED if self.in_transaction else None

    def refuse_rcpt(self) -> Reply | None:
        """Before RCPT there must be an accepted MAIL, and behind it no BDAT."""
        if self.in_transaction:
            return None if self.chunks is None else replies.BAD_SEQUENCE
        return replies.NEED_MAIL if self.hello else replies.HELLO_FIRST

    def refuse_data(self) -> Reply | None:
        """Before DATA there must be an accepted RCPT; it goes neither with BDAT nor with BODY=BINARYMIME."""
        if self.recipients:
            return None if self.chunks is None and self.parameters.body != "BINARYMIME" else replies.BAD_SEQUENCE
        return self._no_recipients()

    def refuse_bdat(self, settings: ServerSettings) -> Reply | None:
        """BDAT must be offered; before the first one there must be an accepted RCPT."""
        if not settings.chunking or not self.extended:
            return replies.NOT_IMPLEMENTED
        return None if self.recipients else self._no_recipients()

    def _no_recipients(self) -> Reply:
        if self.in_transaction:
            return replies.NO_VALID_RECIPIENTS if self.rcpt_seen else replies.NEED_RCPT
        return replies.NEED_MAIL if self.hello else replies.HELLO_FIRST

    def refuse_starttls(self, settings: ServerSettings) -> Reply | None:
        """STARTTLS comes once, and neither in a transaction nor behind a login in the clear."""
        if not settings.offer_starttls and not self.secure:
            return replies.NOT_IMPLEMENTED
        if not self.hello:
            return replies.HELLO_FIRST
        return replies.BAD_SEQUENCE if self.secure or self.in_transaction or self.authenticated else None

    def refuse_auth(self, settings: ServerSettings, mechanism: str) -> Reply | None:
        """AUTH comes once, behind a hello (HELO will do: some printers never say EHLO), and not in a transaction."""
        if not self.hello:
            return replies.HELLO_FIRST
        if self.in_transaction:
            return replies.BAD_SEQUENCE
        if self.authenticated:
            return replies.ALREADY_AUTHENTICATED
        if settings.require_tls and not self.secure:
            return replies.STARTTLS_REQUIRED
        return mechanisms.refusal(settings, self.secure, mechanism)

    def refuse_xclient(self, settings: ServerSettings) -> Reply | None:
        """XCLIENT is a word that only trusted peers know; it comes behind a hello and not in a transaction."""
        if not settings.xclient:
            return replies.UNRECOGNIZED
        if not self.hello:
            return replies.HELLO_FIRST
        return replies.BAD_SEQUENCE if self.in_transaction else None

    def greeting(self, settings: ServerSettings) -> Reply:
        """The reply to the hello in force, with the keywords of EHLO in Exchange's order."""
        lines = [f"{settings.fqdn} Hello [{settings.client_address_text}]"]
        if self.extended:
            lines += self._keywords(settings)
        return Reply(250, "", "\n".join(lines))

    def _keywords(self, settings: ServerSettings) -> list[str]:
        words = []
        if settings.size_enabled == "Enabled" and settings.max_message_size is not None:
            words.append(f"SIZE {settings.max_message_size}")
        elif settings.size_enabled != "Disabled":
            words.append("SIZE")
        if settings.pipelining:
            words.append("PIPELINING")
        if settings.dsn:
            words.append("DSN")
        if settings.enhanced_status_codes:
            words.append("ENHANCEDSTATUSCODES")
        if settings.offer_starttls and not self.secure and not self.authenticated:
            words.append("STARTTLS")
        if not self.authenticated and (offer := mechanisms.offered(settings, self.secure)):
            words.append("AUTH " + " ".join(offer))
        if settings.eight_bit_mime:
            words.append("8BITMIME")
        if offers_binary_mime(settings):
            words.append("BINARYMIME")
        if settings.chunking:
            words.append("CHUNKING")
        if offers_smtp_utf8(settings):
            words.append("SMTPUTF8")
        if settings.requiretls and self.secure:
            words.append("REQUIRETLS")
        if settings.deliver_by:
            words.append("DELIVERBY")
        if settings.future_release is not None:
            until = datetime.datetime.fromtimestamp(settings.future_release_until, datetime.UTC)
            words.append(f"FUTURERELEASE {settings.future_release} {until:%Y-%m-%dT%H:%M:%SZ}")
        if settings.mt_priority:
            words.append("MT-PRIORITY")
        if settings.max_recipients is not None:
            words.append(f"LIMITS RCPTMAX={settings.max_recipients}")
        if settings.xclient:
            words.append(xclient.KEYWORD)
        return words
