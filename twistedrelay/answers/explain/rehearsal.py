"""A session that a client would have, played through with the relay's own protocol: what is said, in which order, and what comes back.

It decides what the client says and when it gives up; every reply is the session's.  A client that wants TLS or a login and does not get it
goes no further.  The message itself is not sent: DATA is the last word.
"""

from __future__ import annotations

from typing import Any

import attrs

from twistedrelay.answers.explain.logins import Exchange, mechanism
from twistedrelay.answers.explain.question import Door, Question
from twistedrelay.answers.explain.stage import Stage
from twistedrelay.answers.explain.transport import CLIENT_PORT, Connection
from twistedrelay.net.esmtp import ESMTP
from twistedrelay.net.factory import ConnectorFactory
from twistedrelay.net.proxy import ProxiedConnection
from twistedrelay.policy.realm import RelaySession
from twistedrelay.values import events
from twistedrelay.values.address import Address
from twistedrelay.values.envelope import NO_MAIL_PARAMETERS, MailParameters, Recipient
from twistedrelay.values.netrange import parse_ip
from twistedrelay.values.reply import SILENCE
from twistedrelay.wire import mechanisms
from twistedrelay.wire.settings import ServerSettings

CONNECT = "(connect)"
HANDSHAKE = "(TLS handshake)"

_NO_HEADER = "proxy_protocol_from: the connection of a load balancer must begin with a PROXY header"


@attrs.frozen(slots=True)
class Step:
    """Something that the client did, and what came back.

    @ivar command: as it was sent; secrets are left out.
    @ivar reply: all lines of it, C{""} where nothing is said.
    @ivar ok: whether the client got what it wanted.
    @ivar limit: the parameter that refused it, as the log names it, or why a handshake or a login failed.
    @ivar delay: seconds until the reply came (tarpits).
    """

    command: str
    reply: str
    ok: bool
    limit: str = ""
    delay: float = 0.0

    @property
    def code(self) -> int:
        """The reply's code, 0 where nothing is said."""
        return int(self.reply[:3]) if self.reply[:3].isdigit() else 0


@attrs.frozen(slots=True)
class Offer:
    """What EHLO offered: with which settings, and in which state."""

    keywords: tuple[str, ...]
    settings: ServerSettings
    secure: bool
    authenticated: bool


@attrs.define(slots=True)
class Rehearsal:
    """See the module.

    @ivar site: the connector that took the client, or None.
    @ivar at_connect: the avatar before AUTH.
    @ivar logged_in: the one after it.
    @ivar offers: one for each EHLO.
    @ivar tls: the version that was agreed on.
    @ivar sender: of the MAIL that was accepted, with C{parameters}.
    @ivar asked: for each recipient asked about its step and, where it was accepted, itself as the message would have it.
    @ivar needs_header: the connection waits for a PROXY header that does not come.
    """

    steps: list[Step] = attrs.Factory(list)
    site: ConnectorFactory | None = None
    at_connect: RelaySession | None = None
    logged_in: RelaySession | None = None
    offers: list[Offer] = attrs.Factory(list)
    tls: str = ""
    cipher: str = ""
    sender: Address | None = None
    parameters: MailParameters = NO_MAIL_PARAMETERS
    asked: list[tuple[str, Step, Recipient | None]] = attrs.Factory(list)
    needs_header: bool = False

    @property
    def avatar(self) -> RelaySession | None:
        """The last one."""
        return self.logged_in or self.at_connect

    @property
    def accepted(self) -> bool:
        """Whether everything that was asked was granted."""
        return all(step.ok for step in self.steps)


async def rehearse(stage: Stage, door: Door, question: Question) -> Rehearsal:
    """Play a question through.  It ends at once where no recipient has to be looked up elsewhere."""
    play = _Play(stage, door, question)
    try:
        await play.run()
    finally:
        play.connection.leave()
        stage.take()
    return play.found


class _Play:
    """One session."""

    def __init__(self, stage: Stage, door: Door, question: Question) -> None:
        self.found = Rehearsal()
        self._stage = stage
        self._question = question
        self._door = door
        peer = parse_ip(question.through or question.client)
        self.connection = Connection(peer, door.local, door.binding.port, question.tls, stage.handshakes)

    @property
    def _session(self) -> Any:
        return self.connection.protocol

    async def run(self) -> None:
        """All that the client does."""
        question = self._question
        if not await self._connect():
            return
        if question.tls and not self._session.engine.settings.implicit_tls and not await self._start_tls():
            return
        if question.user and not await self._log_in():
            return
        if question.recipients or question.sender:
            await self._send()

    # -- connect ---------------------------------------------------------------------------------------------------------

    async def _connect(self) -> bool:
        question, connection = self._question, self.connection
        factory = self._stage.factory(self._door.binding)
        connection.protocol = factory.buildProtocol(connection.getPeer())
        connection.protocol.makeConnection(connection)
        is_probe = factory.is_probe(parse_ip(connection.getPeer().host))
        if isinstance(connection.protocol, ProxiedConnection) and not (question.through or is_probe):
            self.found.needs_header = True
            self._keep(Step(CONNECT, "", False, _NO_HEADER))
            return False
        if question.through:
            family = "TCP4" if ":" not in question.client else "TCP6"
            connection.protocol.dataReceived(
                f"PROXY {family} {question.client} {self._door.local} {CLIENT_PORT} {self._door.binding.port}\r\n".encode()
            )
        if connection.wants_tls and not self._shake_hands():
            return False
        step = await self._hear(CONNECT)
        session = self._session
        if isinstance(session, ESMTP):
            self.found.site = getattr(session, "site", None)
            self.found.at_connect = getattr(session, "avatar", None)
        return step.ok and await self._hello()

    def _shake_hands(self) -> bool:
        agreed = self.connection.shake_hands()
        told = self._stage.take()
        failed = next((event.reason for event in told if isinstance(event, events.TLSFailed)), "")
        for event in told:
            if isinstance(event, events.TLSStarted):
                self.found.tls, self.found.cipher = event.version, event.cipher
        if not agreed and not self._question.tls:
            failed = "implicit_tls: this port speaks TLS from the start, and the client does not"
        self.found.site = self._session.site
        self.found.at_connect = getattr(self._session, "avatar", None)
        self._keep(Step(HANDSHAKE, f"{self.found.tls} {self.found.cipher}" if agreed else "", agreed, failed))
        return agreed

    async def _hello(self) -> bool:
        settings: ServerSettings = self._session.engine.settings
        step = await self._say(f"{'LHLO' if settings.lmtp else 'EHLO'} {self._question.helo}".rstrip())
        if step.ok:
            keywords = tuple(line[4:] for line in step.reply.splitlines()[1:])
            authenticated = self.found.logged_in is not None
            self.found.offers.append(Offer(keywords, self._session.engine.settings, bool(self.found.tls), authenticated))
        return step.ok

    async def _start_tls(self) -> bool:
        step = await self._say("STARTTLS")
        return step.ok and self.connection.wants_tls and self._shake_hands() and await self._hello()

    # -- AUTH ------------------------------------------------------------------------------------------------------------

    async def _log_in(self) -> bool:
        settings: ServerSettings = self._session.engine.settings
        offered = mechanisms.offered(settings, bool(self.found.tls))
        name = mechanism(offered, settings.auth_mechanisms)
        exchange = Exchange(name, self._question.user)
        shown = f"AUTH {name} (as {self._question.user})"
        step = await self._heard(exchange.command(), shown)
        while step.code == 334:
            before, step = step, await self._heard(exchange.answer(step.reply[4:]), shown)
            step = attrs.evolve(step, limit=step.limit or before.limit, delay=step.delay + before.delay)
        self._keep(attrs.evolve(step, ok=step.code == 235))
        if step.code == 235:
            self.found.logged_in = self._session.avatar
        return step.code == 235

    # -- the transaction ---------------------------------------------------------------------------------------------------

    async def _send(self) -> None:
        question, session = self._question, self._session
        mail = await self._say(f"MAIL FROM:<{question.sender}>{self._parameters()}")
        if not mail.ok or session.transaction is None:
            return
        transaction = session.transaction
        self.found.sender, self.found.parameters = transaction.sender, transaction.parameters
        for recipient in question.recipients:
            before = len(transaction.recipients)
            step = await self._say(f"RCPT TO:<{recipient}>")
            accepted = transaction.recipients[before] if step.ok else None
            self.found.asked.append((recipient, step, accepted))
            if self.connection.closed:
                return
        if transaction.recipients:
            await self._say("DATA")

    def _parameters(self) -> str:
        question, offer = self._question, self.found.offers[-1].keywords
        names = {keyword.partition(" ")[0] for keyword in offer}
        given = [f"SIZE={question.size}"] if question.size is not None and "SIZE" in names else []
        if question.require_tls:
            given.append("REQUIRETLS")
        if not all(text.isascii() for text in (question.sender, *question.recipients)) and "SMTPUTF8" in names:
            given.append("SMTPUTF8")
        return "".join(f" {each}" for each in given)

    # -- talk ------------------------------------------------------------------------------------------------------------

    async def _say(self, command: str) -> Step:
        return self._keep(await self._heard(command, command))

    async def _heard(self, line: str, shown: str) -> Step:
        self._session.dataReceived(line.encode() + b"\r\n")
        return await self._listen(shown)

    async def _hear(self, shown: str) -> Step:
        return self._keep(await self._listen(shown))

    async def _listen(self, shown: str) -> Step:
        """The reply, after the delays of the relay, which take no time here."""
        clock, connection = self._stage.clock, self.connection
        began = clock.seconds()
        while connection.silent:
            waiting = clock.getDelayedCalls()
            if waiting:
                clock.advance(max(min(call.getTime() for call in waiting) - clock.seconds(), 0.0))
            else:
                await connection.spoken()
        reply = connection.heard().decode("utf-8", "replace").replace("\r\n", "\n").rstrip("\n")
        limit = ""
        for event in self._stage.take():
            if isinstance(event, events.ConnectionRefused):
                limit = event.limit
                reply = "" if event.reply == SILENCE else reply
            elif isinstance(event, events.CommandRefused | events.LoginFailed):
                limit = event.reason
        code = reply[:3]
        return Step(shown, reply, code.isdigit() and int(code) < 400, limit, clock.seconds() - began)

    def _keep(self, step: Step) -> Step:
        self.found.steps.append(step)
        return step
