"""A DNS server that answers as a test tells it, and a case with a resolver that asks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from twisted.internet import reactor as installed
from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import TestCase

from tests.network import PATIENCE, free_port
from twistedrelay.interfaces import ResolutionError
from twistedrelay.routing import mx, names
from twistedrelay.routing.mx import Resolver
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Route

reactor: Any = installed

Message = dns.message.Message

#: What a server makes of a question: octets, messages, or nothing.
Answering = Callable[[Message], list[bytes | Message]]

GOOD = {
    ("good.test.", "MX"): ["10 a.test.", "20 b.test."],
    ("a.test.", "A"): ["192.0.2.1"],
    ("b.test.", "A"): ["192.0.2.2"],
    ("plain.test.", "A"): ["192.0.2.3"],
    ("plain.test.", "AAAA"): ["2001:db8::3"],
}


def asked(query: Message) -> tuple[str, str]:
    [question] = query.question
    return question.name.to_text().lower(), dns.rdatatype.to_text(question.rdtype)


def answer(query: Message, *records: str, ttl: int = 60, kind: str = "") -> Message:
    """A response with these records for the name that was asked for."""
    response = dns.message.make_response(query)
    if records:
        name, wanted = asked(query)
        response.answer.append(dns.rrset.from_text_list(name, ttl, dns.rdataclass.IN, kind or wanted, records))
    return response


def failing(query: Message, code: dns.rcode.Rcode) -> Message:
    response = dns.message.make_response(query)
    response.set_rcode(code)
    return response


def good(query: Message) -> list[bytes | Message]:
    found = GOOD.get(asked(query))
    if found is None and not any(name == asked(query)[0] for name, _ in GOOD):
        return [failing(query, dns.rcode.NXDOMAIN)]
    return [answer(query, *(found or ()))]


class FaultyServer(DatagramProtocol):
    """Answers as it is told."""

    def __init__(self, answering: Answering) -> None:
        self.answering = answering
        self.questions: list[tuple[str, str]] = []

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        query = dns.message.from_wire(datagram)
        self.questions.append(asked(query))
        for item in self.answering(query):
            self.transport.write(item if isinstance(item, bytes) else item.to_wire(max_size=65535), addr)


def route(domain: str) -> Route:
    return Route("Internet", domain, "DnsConnectorDelivery", mx_domain=domain, helo="relay.test")


class FaultyCase(TestCase):
    """A resolver that asks such a server: with all the patience that a busy machine may need, unless a test is about its end.

    @ivar retry: seconds until the resolver asks again.
    """

    timeout = 2 * PATIENCE
    retry = PATIENCE

    def setUp(self) -> None:
        self.allow(PATIENCE, PATIENCE)

    def allow(self, lifetime: float, grace: float) -> None:
        """How long the resolver waits for one answer, and for others once there is one."""
        patch: Any = self.patch
        patch(names, "LIFETIME", lifetime)
        patch(mx, "BUDGET", 2 * lifetime)
        patch(mx, "FAMILY_GRACE", grace)
        patch(mx, "HOST_GRACE", 2 * grace)

    def resolver(self, answering: Answering) -> Resolver:
        self.server = FaultyServer(answering)
        port = reactor.listenUDP(free_port(), self.server, interface="127.0.0.1")  # free for connections, too
        self.addCleanup(port.stopListening)
        self.port = port.getHost().port
        resolver = Resolver(reactor, [f"127.0.0.1:{self.port}"], shuffle=lambda items: None)
        resolver.names._resolver.timeout = self.retry
        return resolver

    async def addresses(self, resolver: Resolver, domain: str = "good.test") -> list[str]:
        return [target.address for target in await resolver.targets(route(domain))]

    async def refusal(self, resolver: Resolver, domain: str = "good.test") -> Reply:
        try:
            found = await resolver.targets(route(domain))
        except ResolutionError as error:
            return error.reply
        raise AssertionError(found)
