"""Questions, and the same dialogue with a relay whose sessions are real."""

from __future__ import annotations

from typing import Any

from tests.net.relay import NOON, Client, FakeUsers, Relay
from twistedrelay.answers.explain.alone import at_once
from twistedrelay.answers.explain.document import Explanation
from twistedrelay.answers.explain.explainer import Explainer, Rules, offline, rules_of
from twistedrelay.answers.explain.question import Question
from twistedrelay.answers.explain.rehearsal import HANDSHAKE
from twistedrelay.answers.explain.transport import CLIENT_PORT
from twistedrelay.config.users import User
from twistedrelay.values.events import Connected, ConnectionRefused, PermissionsSet

ACCOUNT = User(FakeUsers.address)


def find(name: str) -> User | None:
    """The harness's one account."""
    return ACCOUNT if name.lower() == FakeUsers.address else None


def explained(relay: Relay, question: Question, *, live: bool = False) -> Explanation:
    """The answer about a relay, by its configuration or by itself while it runs."""
    rules = rules_of(relay.config)
    if live:
        reception = relay.reception
        rules = Rules(relay.config, reception.acceptance, rules.router, reception)
    return at_once(Explainer(rules, now=relay.clock.seconds(), user=find).explain(question))


def by_file(config: Any, **asked: Any) -> Explanation:
    """The answer about a configuration at noon."""
    return at_once(offline(config, NOON).explain(Question(**asked)))


class _Secured:
    """TLS of a version, as a session sees it."""

    def get_protocol_version_name(self) -> str:
        return "TLSv1.3"

    def get_cipher_name(self) -> str:
        return "TLS_AES_256_GCM_SHA384"

    def get_app_data(self) -> object:
        return None


class Actor:
    """A client of the harness that says what an explanation says that it says."""

    def __init__(self, relay: Relay, question: Question, port: int, local: str) -> None:
        self.relay = relay
        self.replies: list[tuple[str, str]] = []
        self.question = question
        relay.events.clear()
        self.client: Client = relay.connect(question.through or question.client, local, port)
        if question.through:
            family = "TCP4" if ":" not in question.client else "TCP6"
            self.client.send(f"PROXY {family} {question.client} {local} {CLIENT_PORT} {port}\r\n".encode())

    def play(self, told: Explanation) -> Actor:
        """Say all that the explanation says."""
        for step in told.dialogue:
            self.replies.append((step.command, self._do(step.command)))
        return self

    def _do(self, command: str) -> str:
        client = self.client
        if command == HANDSHAKE:
            transport: Any = client.transport
            transport.getHandle = _Secured
            client.session.handshakeCompleted()
            return ""
        if command == "(connect)":
            pass
        elif command.startswith("AUTH"):
            client.send(b"")
            return self._patient(client.login(name=self.question.user))
        else:
            return self._patient(client.command(command))
        return self._patient(client.said())

    def _patient(self, said: str) -> str:
        """The reply, after a tarpit where there is one."""
        while not said and (waiting := self.relay.clock.getDelayedCalls()):
            self.relay.clock.advance(waiting[0].getTime() - self.relay.clock.seconds())
            said = self.client.said()
        return said.replace("\r\n", "\n").rstrip("\n")

    @property
    def connector(self) -> str:
        """Which connector had the session."""
        found = self.relay.events.of(Connected) or self.relay.events.of(ConnectionRefused)
        return str(found[0].connector) if found else ""

    @property
    def rights(self) -> list[tuple[str, ...]]:
        """The rights, each time they were set."""
        return [event.rights for event in self.relay.events.of(PermissionsSet)]
