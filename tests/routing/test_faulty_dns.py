"""A DNS server that misbehaves in every way: what it says wrong is never believed, and no search lasts longer than its budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from twistedrelay.interfaces import ResolutionError
from twistedrelay.routing import mx, names
from twistedrelay.routing.mx import Resolver
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Hop, Route, Target

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


class Server(DatagramProtocol):
    """Answers as it is told."""

    def __init__(self, answering: Answering) -> None:
        self.answering = answering
        self.questions: list[tuple[str, str]] = []

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        query = dns.message.from_wire(datagram)
        self.questions.append(asked(query))
        for item in self.answering(query):
            self.transport.write(item if isinstance(item, bytes) else item.to_wire(max_size=65535), addr)


class SlowStream(Protocol):
    """A TCP side that takes the question and says nothing, or too much."""

    flood = b""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(self.flood)


def route(domain: str) -> Route:
    return Route("Internet", domain, "DnsConnectorDelivery", mx_domain=domain, helo="relay.test")


class FaultyServerTests(TestCase):
    """See the module."""

    timeout = 20

    def setUp(self) -> None:
        patch: Any = self.patch
        patch(names, "LIFETIME", 0.5)
        patch(mx, "BUDGET", 1.0)
        patch(mx, "FAMILY_GRACE", 0.1)
        patch(mx, "HOST_GRACE", 0.2)

    def resolver(self, answering: Answering) -> Resolver:
        self.server = Server(answering)
        port = reactor.listenUDP(0, self.server, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.port = port.getHost().port
        resolver = Resolver(reactor, [f"127.0.0.1:{self.port}"], shuffle=lambda items: None)
        resolver.names._resolver.timeout = 0.2
        return resolver

    async def addresses(self, resolver: Resolver, domain: str = "good.test") -> list[str]:
        return [target.address for target in await resolver.targets(route(domain))]

    async def refusal(self, resolver: Resolver, domain: str = "good.test") -> Reply:
        try:
            found = await resolver.targets(route(domain))
        except ResolutionError as error:
            return error.reply
        raise AssertionError(found)

    def waits(self, answering: Answering, domain: str = "good.test") -> Deferred[None]:
        """Mail waits, and the failure is not kept: the same resolver finds the way once the server is well."""

        async def look() -> None:
            resolver = self.resolver(answering)
            began = reactor.seconds()
            reply = await self.refusal(resolver, domain)
            assert (reply.code, reply.enhanced) == (451, "4.4.3")
            assert domain in reply.text
            assert reactor.seconds() - began < 3
            self.server.answering = good
            assert await self.addresses(resolver) == ["192.0.2.1", "192.0.2.2"]

        return Deferred.fromCoroutine(look())

    def finds(self, answering: Answering, *addresses: str, domain: str = "good.test") -> Deferred[None]:
        async def look() -> None:
            resolver = self.resolver(answering)
            assert await self.addresses(resolver, domain) == list(addresses)
            while resolver.names._asking:  # what nobody waits for any more goes on until its own end
                await deferLater(reactor, 0.05)

        return Deferred.fromCoroutine(look())

    # no answer at all

    def test_servfail(self) -> Deferred[None]:
        return self.waits(lambda query: [failing(query, dns.rcode.SERVFAIL)])

    def test_refused(self) -> Deferred[None]:
        return self.waits(lambda query: [failing(query, dns.rcode.REFUSED)])

    def test_silence(self) -> Deferred[None]:
        return self.waits(lambda query: [])

    def test_garbage(self) -> Deferred[None]:
        return self.waits(lambda query: [b"", b"\0", b"nonsense", query.to_wire()[:12] + b"\xff" * 40])

    def test_another_id(self) -> Deferred[None]:
        def forged(query: Message) -> list[bytes | Message]:
            response = answer(query, "10 evil.test.")
            response.id = query.id ^ 1
            return [response]

        return self.waits(forged)

    def test_another_question(self) -> Deferred[None]:
        def forged(query: Message) -> list[bytes | Message]:
            other = dns.message.make_query("evil.test.", "MX", id=query.id)
            return [answer(other, "10 evil.test.")]

        return self.waits(forged)

    def test_the_question_itself_comes_back(self) -> Deferred[None]:
        return self.waits(lambda query: [query])

    def test_truncated_and_no_tcp(self) -> Deferred[None]:
        def truncated(query: Message) -> list[bytes | Message]:
            response = dns.message.make_response(query)
            response.flags |= dns.flags.TC
            return [response]

        return self.waits(truncated)

    def truncated_with_tcp(self, flood: bytes) -> Deferred[None]:
        async def look() -> None:
            def truncated(query: Message) -> list[bytes | Message]:
                response = dns.message.make_response(query)
                response.flags |= dns.flags.TC
                return [response]

            resolver = self.resolver(truncated)
            factory: Any = Factory.forProtocol(SlowStream)
            self.patch(SlowStream, "flood", flood)  # type: ignore[call-arg]
            tcp = reactor.listenTCP(self.port, factory, interface="127.0.0.1")
            began = reactor.seconds()
            try:
                assert (await self.refusal(resolver)).code == 451
            finally:
                await tcp.stopListening()
            assert reactor.seconds() - began < 3

        return Deferred.fromCoroutine(look())

    def test_truncated_and_a_silent_tcp(self) -> Deferred[None]:
        return self.truncated_with_tcp(b"")

    def test_truncated_and_a_tcp_that_floods(self) -> Deferred[None]:
        return self.truncated_with_tcp(b"\xff\xff" + b"\0" * 200_000)

    def test_the_right_answer_behind_forged_ones(self) -> Deferred[None]:
        def mixed(query: Message) -> list[bytes | Message]:
            forged = answer(query, *(["192.0.2.66"] if asked(query)[1] == "A" else []))
            forged.id = query.id ^ 1
            return [forged, b"junk", *good(query)]

        return self.finds(mixed, "192.0.2.1", "192.0.2.2")

    # aliases

    def test_an_alias_to_itself(self) -> Deferred[None]:
        return self.waits(
            lambda query: [answer(query, asked(query)[0], kind="CNAME")] if "round" in asked(query)[0] else good(query), "round.test"
        )

    def test_aliases_without_end(self) -> Deferred[None]:
        def on_and_on(query: Message) -> list[bytes | Message]:
            name = asked(query)[0]
            return [answer(query, f"x{name}"[-60:], kind="CNAME")] if name.endswith("endless.test.") else good(query)

        return self.waits(on_and_on, "endless.test")

    def test_an_alias_that_the_server_leaves_to_us(self) -> Deferred[None]:
        aliases = {"one.test.": "two.test.", "two.test.": "good.test."}
        return self.finds(
            lambda query: [answer(query, aliases[asked(query)[0]], kind="CNAME")] if asked(query)[0] in aliases else good(query),
            "192.0.2.1",
            "192.0.2.2",
            domain="one.test",
        )

    # half an answer

    def test_one_family_is_silent(self) -> Deferred[None]:
        def only_ipv4(query: Message) -> list[bytes | Message]:
            return [] if asked(query)[1] == "AAAA" else good(query)

        return self.finds(only_ipv4, "192.0.2.3", domain="plain.test")

    def test_one_family_fails(self) -> Deferred[None]:
        def only_ipv6(query: Message) -> list[bytes | Message]:
            return [failing(query, dns.rcode.SERVFAIL)] if asked(query)[1] == "A" else good(query)

        return self.finds(only_ipv6, "2001:db8::3", domain="plain.test")

    def test_no_address_in_one_family_and_silence_about_the_other_is_no_answer(self) -> Deferred[None]:
        def half(query: Message) -> list[bytes | Message]:
            return [answer(query)] if asked(query)[1] == "AAAA" else [] if asked(query)[1] == "A" else good(query)

        return self.waits(half)

    def test_the_best_host_is_silent(self) -> Deferred[None]:
        return self.finds(lambda query: [] if asked(query)[0] == "a.test." else good(query), "192.0.2.2")

    def test_better_hosts_than_us_that_do_not_answer_are_a_reason_to_wait_and_no_loop(self) -> Deferred[None]:
        def us_and_a_sick_one(query: Message) -> list[bytes | Message]:
            name, kind = asked(query)
            if (name, kind) == ("ours.test.", "MX"):
                return [answer(query, "10 sick.test.", "20 relay.test.")]
            return [failing(query, dns.rcode.SERVFAIL)] if name == "sick.test." else good(query)

        return self.waits(us_and_a_sick_one, "ours.test")

    # what is kept

    def test_an_answer_changes_between_attempts(self) -> Deferred[None]:
        """A TTL of 0 counts for one attempt only."""
        hosts = ["10 a.test."]

        async def look() -> None:
            resolver = self.resolver(lambda query: [answer(query, *hosts, ttl=0)] if asked(query)[1] == "MX" else good(query))
            together = await DeferredList([resolver.targets(route("good.test")) for _ in range(10)])
            assert {tuple(target.address for target in targets) for _, targets in together} == {("192.0.2.1",)}
            assert self.server.questions.count(("good.test.", "MX")) == 1
            hosts[:] = ["10 b.test."]
            assert await self.addresses(resolver) == ["192.0.2.2"]

        return Deferred.fromCoroutine(look())

    def test_what_does_not_exist_is_asked_for_once(self) -> Deferred[None]:
        async def look() -> None:
            resolver = self.resolver(good)
            for _ in range(3):
                reply = await self.refusal(resolver, "missing.test")
                assert (reply.code, reply.enhanced) == (550, "5.4.4")
            assert self.server.questions == [("missing.test.", "MX")]

        return Deferred.fromCoroutine(look())

    def test_the_memory_is_bounded(self) -> Deferred[None]:
        async def look() -> None:
            patch: Any = self.patch
            patch(names, "REMEMBERED", 10)
            patch(mx, "REMEMBERED", 10)
            resolver = self.resolver(good)
            for number in range(15):
                await self.refusal(resolver, f"missing{number}.test")
            assert len(resolver.names._known) == len(resolver._known) == 10

        return Deferred.fromCoroutine(look())

    # hosts that failed

    def test_what_failed_lately_is_tried_last(self) -> Deferred[None]:
        async def look() -> None:
            resolver = self.resolver(good)
            first, second = await resolver.targets(route("good.test"))
            resolver.failed(first)
            assert await self.addresses(resolver) == [second.address, first.address]
            resolver.failed(second)
            assert await self.addresses(resolver) == [first.address, second.address]
            resolver.worked(first)
            assert await self.addresses(resolver) == [first.address, second.address]
            resolver.worked(second)
            resolver.failed(Target("a.test", first.address, 26))
            assert await self.addresses(resolver) == [first.address, second.address], "another port is another server"

        return Deferred.fromCoroutine(look())

    def test_smart_hosts_share_or_stand_in(self) -> Deferred[None]:
        async def look() -> None:
            resolver = self.resolver(good)
            resolver._shuffle = lambda items: items.reverse()
            hops = (Hop("192.0.2.1", 25), Hop("192.0.2.2", 26))
            in_order = Route("Out", "x", "SmartHostConnectorDelivery", hops=hops)
            shared = Route("Out", "x", "SmartHostConnectorDelivery", hops=hops, shuffle=True)
            first, second = await resolver.targets(in_order)
            assert await resolver.targets(shared) == [second, first]
            resolver.failed(first)
            assert await resolver.targets(in_order) == [second, first]

        return Deferred.fromCoroutine(look())
