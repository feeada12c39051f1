"""What a session has agreed on so far, which commands may come next, and what EHLO offers.

All rules of order are here: each C{refuse_*} method gives the reply to a command that may not come now, or None.

Sources: RFC 5321 sections 4.1.1.1 and 4.1.4, RFC 3207 section 4.2, RFC 4954 section 4.
"""

from __future__ import annotations

import attrs

from twistedrelay.values import reply as replies
from twistedrelay.values.reply import Reply
from twistedrelay.wire import mechanisms
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
    """

    secure: bool = False
    authenticated: bool = False
    hello: str = ""
    in_transaction: bool = False
    rcpt_seen: bool = False
    recipients: int = 0

    def forget_transaction(self) -> None:
        """No MAIL and no RCPT was ever given: always both."""
        self.in_transaction = False
        self.rcpt_seen = False
        self.recipients = 0

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
        """Before RCPT there must be an accepted MAIL."""
        if self.in_transaction:
            return None
        return replies.NEED_MAIL if self.hello else replies.HELLO_FIRST

    def refuse_data(self) -> Reply | None:
        """Before DATA there must be an accepted RCPT."""
        if self.recipients:
            return None
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
        return mechanisms.refusal(settings, self.secure, mechanism)

    def greeting(self, settings: ServerSettings) -> Reply:
        """The reply to the hello in force, with the keywords of EHLO in Exchange's order."""
        lines = [f"{settings.fqdn} Hello [{settings.client_address_text}]"]
        if self.hello == "EHLO":
            if settings.size_enabled != "Disabled":
                lines.append("SIZE" if settings.max_message_size is None else f"SIZE {settings.max_message_size}")
            lines += ("PIPELINING", "ENHANCEDSTATUSCODES")
            if settings.offer_starttls and not self.secure and not self.authenticated:
                lines.append("STARTTLS")
            if not self.authenticated and (offer := mechanisms.offered(settings, self.secure)):
                lines.append("AUTH " + " ".join(offer))
            lines.append("8BITMIME")
        return Reply(250, "", "\n".join(lines))
