"""What each SMTP command does in a session: who decides, what is said, where the message goes.

The engine (C{wire.server}) knows the protocol, C{policy} knows what is allowed, the spool keeps the message.  This module only carries
events to who decides and replies back.

Sources: RFC 5321, RFC 3030 (BDAT), RFC 3207 (STARTTLS); Set-ReceiveConnector (tarpits, limits on errors).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twistedrelay.interfaces import SpoolError
from twistedrelay.net.intake import Transaction
from twistedrelay.net.login import LoginSession
from twistedrelay.net.xclient import ends_told
from twistedrelay.policy.limits import LIMITS
from twistedrelay.tls.pem import CertificateError
from twistedrelay.values import events
from twistedrelay.values import reply as replies
from twistedrelay.values.envelope import Message, Recipient
from twistedrelay.values.reply import Reply
from twistedrelay.wire import events as wire
from twistedrelay.wire.client_offers import original_recipient

#: Content octets that may wait for the disk before the session stops reading.
DISK_BACKLOG = 1024 * 1024

#: The replies that count as protocol errors.
PROTOCOL_ERRORS = frozenset({500, 501, 503, 504})

#: Octets that one read of the socket takes, for commands and for large content.
READ_SIZE = 64 * 1024
LARGE_READ_SIZE = 256 * 1024


class ESMTP(LoginSession):
    """One SMTP session on one accepted connection."""

    __slots__ = ()

    # -- events of the engine --------------------------------------------------------------------------------------------

    def _hello(self, event: wire.Hello) -> None:
        self.facts.helo = event.name
        self.facts.esmtp = event.verb != "HELO"
        self.facts.lmtp = event.verb == "LHLO"
        self._answer(replies.HELLO_OK)

    def _protocol_error(self, event: wire.ProtocolError) -> None:
        self._refuse(event.command, event.reply)

    def _reset(self, event: wire.Reset) -> None:
        self._drop_transaction()

    def _vrfy(self, event: wire.Vrfy) -> None:
        self._answer(replies.CANNOT_VRFY)

    def _quit(self, event: wire.Quit) -> None:
        self._reason = "QUIT"
        self._answer(replies.QUIT)

    def _xclient(self, event: wire.XClient) -> None:
        ends = ends_told(event, self.ends)
        if isinstance(ends, Reply):
            self._refuse("XCLIENT", ends)
        else:
            self._become(ends)

    def _mail(self, event: wire.Mail) -> None:
        relay = self.relay
        verdict = relay.acceptance.mail(self.avatar, self.facts, event.sender, event.parameters)
        refusal, reason, delay = None, "", 0.0
        if verdict.code < 400:
            site = self.site
            if relay.pressure.active:
                refusal, reason, delay = relay.pressure.judge(self.avatar)
            if self._draining:
                verdict, reason = replies.SERVICE_NOT_AVAILABLE, self._draining
            elif not relay.spool.healthy:
                verdict, reason = replies.SYSTEM_RESOURCES, "the spool is not writable"
            elif refusal is not None:
                verdict = refusal
            elif (limit := relay.rates.admit(site.name, site.connector, self.facts.peer, self.avatar.login, event.sender.text)) is not None:
                verdict, reason = replies.RATE_EXCEEDED, limit
        if verdict.code < 400:
            parameters = event.parameters
            self.facts.smtp_utf8 = parameters.smtp_utf8
            if parameters.auth and self.avatar.is_anonymous:
                parameters = attrs.evolve(parameters, auth="<>")  # nobody vouches for what it says (RFC 4954 section 5)
            if parameters.priority is not None and parameters.priority > 0 and not self.avatar.may_raise_priority:
                parameters, verdict = attrs.evolve(parameters, priority=0), replies.PRIORITY_LOWERED
            self.transaction = Transaction(event.sender, parameters, relay.clock.seconds())
            if delay:
                self._answer_later(delay, verdict)
            else:
                self.engine.respond(verdict)
        else:
            self._refuse(f"MAIL FROM:<{event.sender}>", verdict, reason)

    def _rcpt(self, event: wire.Rcpt) -> None:
        transaction = self.transaction
        assert transaction is not None
        acceptance = self.relay.acceptance
        verdict = acceptance.rcpt(self.avatar, self.facts, event.recipient, event.parameters, len(transaction.recipients))
        if verdict.code < 400 and acceptance.asks_recipients and event.recipient.domain:
            found = acceptance.existence(self.avatar, acceptance.resolve_recipient(event.recipient))
            if isinstance(found, Deferred):
                self._waiting = True
                found.addCallback(self._recipient_found, event).addErrback(self._failed)
                return
            verdict = found
        if verdict.code < 400:
            self._add_recipient(event)
            self.engine.respond(verdict)
        else:
            self._refuse(f"RCPT TO:<{event.recipient}>", verdict)

    def _recipient_found(self, verdict: Reply, event: wire.Rcpt) -> None:
        """Somebody had to be asked whether it exists.  No command came in between, but the connection may have ended."""
        if self._disconnected or self._closing:
            return
        if verdict.code < 400:
            self._add_recipient(event)
            self._answer(verdict)
        else:
            self._refuse(f"RCPT TO:<{event.recipient}>", verdict)

    def _add_recipient(self, event: wire.Rcpt) -> None:
        transaction = self.transaction
        assert transaction is not None
        recipients = transaction.recipients
        resolved, parameters = self.relay.acceptance.resolve_recipient(event.recipient), event.parameters
        if resolved is not event.recipient and parameters.notify and not parameters.orcpt:
            # Where we say one ourselves, it must be what was said here (RFC 3461 section 5.2.1).
            parameters = attrs.evolve(parameters, orcpt=original_recipient(event.recipient.text))
        recipients.append(Recipient(len(recipients), resolved, parameters))

    def _data(self, event: wire.Data | wire.Bdat) -> None:
        assert self.transaction is not None
        if self._buffers.full:
            self._refuse("DATA", replies.SYSTEM_RESOURCES, "max_buffered_size")
            return
        self.transaction.begin(self.relay.spool, self.facts, self.avatar, self.site.fqdn, self.relay.clock.seconds())
        self.engine.respond(replies.START_INPUT)

    def _content(self, event: wire.Content) -> None:
        transaction = self.transaction
        assert transaction is not None and transaction.content is not None
        transaction.write(event.chunk)
        if len(event.chunk) >= READ_SIZE // 2:  # as much as one read gave: there is more
            self.transport.bufferSize = LARGE_READ_SIZE
        if transaction.content.backlog() > DISK_BACKLOG:
            self._held = True
            transaction.content.drained().addBoth(self._disk_ready)

    def _disk_ready(self, result: object) -> None:
        """The backlog is written, or cannot be: then the store will say so."""
        self._held = False
        if not self._disconnected and not self._closing:
            self._peers_turn_again()
            if not self._pumping:
                self._pump()

    def _end_of_content(self, event: wire.EndOfContent) -> None:
        transaction = self.transaction
        assert transaction is not None
        self.transport.bufferSize = READ_SIZE
        fault = event.fault
        if fault is None:
            transaction.finish()
            fault = transaction.refusal
        if fault is not None:
            self._drop_transaction()
            self._refuse("end of data", fault)
            self._drain_after_message()
            return
        self._storing = transaction.held() or 1
        message = transaction.message(self.facts, self.avatar, self.relay.hostname, self.relay.clock.seconds())
        self.transaction = None
        self._waiting = True
        stored = self.relay.spool.store(message)
        stored.addCallbacks(self._stored, self._not_stored, callbackArgs=(message,))
        stored.addErrback(self._failed)

    def _stored(self, result: object, message: Message) -> None:
        """The message is safe.  The reply goes out before anything that might fail."""
        self._stop_storing()
        if self._disconnected or self._closing:
            self.relay.events.emit(events.Receive(message))
            self.relay.events.emit(events.ReceiveUncertain(message))
        else:
            self._messages += 1
            self._answer(self._queued_reply(message))
            self.relay.events.emit(events.Receive(message))
        self.relay.submit(message)
        self._drain_after_message()

    def _queued_reply(self, message: Message) -> Reply:
        hostname = self.relay.hostname
        shown = message.message_id if len(message.message_id) < 300 else f"<{message.id}@{hostname}>"
        text = f"{shown} [InternalId={message.id}, Hostname={hostname}] Queued mail for delivery"
        return Reply(250, "2.6.0", text)

    def _not_stored(self, failure: Failure) -> None:
        """The disk refused: 4xx, never 5xx."""
        self._stop_storing()
        error = failure.value
        if isinstance(error, SpoolError):
            refused, reason = error.reply, str(error)
        else:
            self.log.failure("storing a message failed", failure)
            refused, reason = replies.LOCAL_ERROR, failure.getErrorMessage()
        if self._disconnected:
            return
        self._refuse("end of data", refused, reason)
        self._drain_after_message()

    def _stop_storing(self) -> None:
        self._storing = 0
        if self._disconnected:
            self._forget_buffered()

    def _drain_after_message(self) -> None:
        if self._draining:
            self.drain()

    def _starttls(self, event: wire.StartTLS) -> None:
        try:
            creator = self._server_creator()
        except CertificateError as error:
            self._refuse("STARTTLS", replies.TLS_NOT_AVAILABLE, str(error))
            return
        self.engine.respond(replies.STARTTLS_READY)
        if not self.engine.closing:  # nothing stood behind STARTTLS
            self._flush()
            self._start_tls(creator)
            self.engine.tls_started()

    # -- answers ---------------------------------------------------------------------------------------------------------

    def _answer(self, reply: Reply) -> None:
        """Answer the event that waits, now or later."""
        if self._disconnected or self._closing:
            return
        if self._waiting:
            self._waiting = False
            self._peers_turn()
        self.engine.respond(reply)
        if reply.code == 421:
            self._flush()
            self._close(self._reason)
        elif not self._pumping:
            self._pump()

    def _answer_later(self, seconds: float, reply: Reply) -> None:
        """Answer after a tarpit; only this session waits."""
        if seconds <= 0:
            self._answer(reply)
            return
        self._waiting = True
        self._delayed = self.relay.clock.callLater(seconds, self._tarpit_over, reply)

    def _tarpit_over(self, reply: Reply) -> None:
        self._delayed = None
        self._answer(reply)

    def _refuse(self, command: str, reply: Reply, reason: str = "") -> None:
        """Answer 4xx or 5xx: count it, log it, and let a session without login wait for it (TarpitInterval)."""
        if reply.code in PROTOCOL_ERRORS:
            self._errors += 1
            limit = self.site.connector.max_protocol_errors
            if limit is not None and self._errors >= limit:
                reply, reason = replies.TOO_MANY_ERRORS, "max_protocol_errors"
        if not reason:
            reason = LIMITS.get(reply, "")
        if reply.code == 421:
            self._reason = reason or "refused"
        sender = "" if self.transaction is None else self.transaction.sender.text
        self._emit(events.CommandRefused, command, reply, reason, self.facts.helo, sender)
        self._answer_later(0.0 if self.avatar.login or self._draining else self.site.connector.tarpit_interval, reply)

    handlers: ClassVar[dict[type, Callable[[Any, Any], None]]] = {
        wire.Hello: _hello,
        wire.StartTLS: _starttls,
        wire.ScramChallenge: LoginSession._scram_challenge,
        wire.Authenticate: LoginSession._authenticate,
        wire.Authenticated: LoginSession._authenticated,
        wire.XClient: _xclient,
        wire.Mail: _mail,
        wire.Rcpt: _rcpt,
        wire.Data: _data,
        wire.Bdat: _data,
        wire.Content: _content,
        wire.EndOfContent: _end_of_content,
        wire.Reset: _reset,
        wire.Vrfy: _vrfy,
        wire.Quit: _quit,
        wire.ProtocolError: _protocol_error,
    }
