"""Resolution against an authoritative server in this process, and against servers that misbehave."""

from __future__ import annotations

from typing import Any

from twisted.internet import defer, reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import Clock
from twisted.names import authority, common, dns, server
from twisted.trial.unittest import TestCase

from twistedrelay.interfaces import ResolutionError
from twistedrelay.routing import names
from twistedrelay.routing.mx import Resolver
from twistedrelay.values.route import Hop, Route, Target


def backwards(items: list[Any]) -> None:
    """A shuffle that one can foretell."""
    items.sort(key=lambda item: str(getattr(item, "name", item)), reverse=True)


class Zone(authority.FileAuthority):
    """The zone "example", from a dictionary."""

    def __init__(self, records: dict[bytes, list[Any]]) -> None:
        common.ResolverBase.__init__(self)
        self.records = records
        self.soa = (b"example", dns.Record_SOA(b"ns.example", b"hostmaster.example", 1, 1, 1, 1, 60))
        self.records[b"example"] = [self.soa[1]]
        self.asked: list[tuple[bytes, int]] = []

    def setUp(self) -> None:
        """The records are given, not read."""

    def _lookup(self, name: bytes, cls: int, type: int, timeout: Any = None) -> Any:
        self.asked.append((name, type))
        return super()._lookup(name, cls, type, timeout)


def a(address: str, ttl: int = 300) -> Any:
    return dns.Record_A(address, ttl)


def aaaa(address: str, ttl: int = 300) -> Any:
    return dns.Record_AAAA(address, ttl)


def exchange(preference: int, name: bytes) -> Any:
    return dns.Record_MX(preference, name, 300)


ZONE = {
    b"two.example": [exchange(20, b"b.example"), exchange(10, b"a.example")],
    b"equal.example": [exchange(10, b"a.example"), exchange(10, b"b.example"), exchange(5, b"c.example")],
    b"null.example": [exchange(0, b"")],
    b"implicit.example": [a("192.0.2.80")],
    b"nothing.example": [dns.Record_TXT(b"no mail here")],
    b"lost.example": [exchange(10, b"gone.example")],
    b"ours.example": [exchange(10, b"a.example"), exchange(20, b"relay.example"), exchange(30, b"b.example")],
    b"loop.example": [exchange(10, b"relay.example"), exchange(20, b"b.example")],
    b"big.example": [exchange(number, b"a-host-with-a-very-long-name-%d.example" % number) for number in range(60)],
    b"a-host-with-a-very-long-name-0.example": [a("192.0.2.99")],
    b"a.example": [a("192.0.2.1"), aaaa("2001:db8::1"), aaaa("2001:db8::2")],
    b"b.example": [a("192.0.2.2")],
    b"c.example": [aaaa("2001:db8::3")],
    b"relay.example": [a("192.0.2.10")],
}


def route(domain: str) -> Route:
    return Route("Internet", domain, "DnsConnectorDelivery", mx_domain=domain, helo="relay.example")


class Silent(DatagramProtocol):
    """A server that never answers."""

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Nothing."""


class Servfail(DatagramProtocol):
    """A server that is sick."""

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        asked = dns.Message()
        asked.fromStr(datagram)
        answer = dns.Message(asked.id, answer=1, rCode=dns.ESERVER, recDes=1, recAv=1)
        answer.queries = asked.queries
        self.transport.write(answer.toStr(), addr)


class Resolving(DatagramProtocol):
    """A resolver that found signed answers, or unsigned ones."""

    def __init__(self, signed: bool) -> None:
        self.signed = signed
        self.asked_for_it = False

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        asked = dns.Message()
        asked.fromStr(datagram)
        self.asked_for_it = bool(asked.authenticData)
        answer = dns.Message(asked.id, answer=1, recDes=1, recAv=1, authenticData=int(self.signed))
        answer.queries = asked.queries
        name, kind = asked.queries[0].name.name, asked.queries[0].type
        for record in ZONE.get(name, []):
            if kind == record.TYPE:
                answer.answers.append(dns.RRHeader(name, kind, dns.IN, 300, record))
        self.transport.write(answer.toStr(), addr)


class ResolverTests(TestCase):
    """MX over real sockets on loopback."""

    def setUp(self) -> None:
        self.zone = Zone(dict(ZONE))
        factory = server.DNSServerFactory(authorities=[self.zone])
        tcp = reactor.listenTCP(0, factory, interface="127.0.0.1")
        port = tcp.getHost().port
        udp = reactor.listenUDP(port, dns.DNSDatagramProtocol(factory), interface="127.0.0.1")
        self.addCleanup(tcp.stopListening)
        self.addCleanup(udp.stopListening)
        self.resolver = Resolver(reactor, [f"127.0.0.1:{port}"], shuffle=backwards)

    def faulty(self, protocol: DatagramProtocol) -> Resolver:
        port = reactor.listenUDP(0, protocol, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return Resolver(reactor, [f"127.0.0.1:{port.getHost().port}"])

    async def shown(self, domain: str) -> list[str]:
        return [str(target) for target in await self.resolver.targets(route(domain))]

    async def refused(self, domain: str, resolver: Resolver | None = None) -> tuple[int, str]:
        error = await self.assertFailure((resolver or self.resolver).targets(route(domain)), ResolutionError)
        return (error.reply.code, error.reply.enhanced)

    @defer.inlineCallbacks
    def _check(self, coroutine: Any, expected: Any) -> Any:
        result = yield Deferred.fromCoroutine(coroutine)
        assert result == expected

    def test_preference_and_interleaved_families(self) -> Any:
        expected = [
            "a.example [2001:db8::2]:25",
            "a.example [192.0.2.1]:25",
            "a.example [2001:db8::1]:25",
            "b.example [192.0.2.2]:25",
        ]
        return self._check(self.shown("two.example"), expected)

    def test_equal_preferences_are_shuffled(self) -> Any:
        async def names() -> list[str]:
            return list(dict.fromkeys(target.host for target in await self.resolver.targets(route("equal.example"))))

        return self._check(names(), ["c.example", "b.example", "a.example"])

    def test_whether_the_name_of_a_host_is_proven(self) -> Any:
        async def proven(signed: bool, domain: str) -> set[bool]:
            server = Resolving(signed)
            targets = await self.faulty(server).targets(route(domain))
            assert server.asked_for_it
            return {target.proven for target in targets}

        async def all_of_them() -> list[set[bool]]:
            asked = ((True, "two.example"), (False, "two.example"), (False, "implicit.example"))
            return [await proven(signed, domain) for signed, domain in asked]

        return self._check(all_of_them(), [{True}, {False}, {True}])

    def test_null_mx(self) -> Any:
        return self._check(self.refused("null.example"), (556, "5.1.10"))

    def test_no_mx_means_the_domain_itself(self) -> Any:
        return self._check(self.shown("implicit.example"), ["implicit.example [192.0.2.80]:25"])

    def test_neither_mx_nor_address(self) -> Any:
        return self._check(self.refused("nothing.example"), (550, "5.4.4"))

    def test_nonexistent_domain(self) -> Any:
        return self._check(self.refused("missing.example"), (550, "5.4.4"))

    def test_impossible_names(self) -> Any:
        return self._check(self.refused("a..example"), (550, "5.4.4"))

    def test_mx_without_address(self) -> Any:
        return self._check(self.refused("lost.example"), (550, "5.4.4"))

    def test_only_better_hosts_than_ourselves(self) -> Any:
        async def names() -> set[str]:
            return {target.host for target in await self.resolver.targets(route("ours.example"))}

        return self._check(names(), {"a.example"})

    def test_we_are_the_best_host(self) -> Any:
        return self._check(self.refused("loop.example"), (554, "5.4.6"))

    def test_truncated_answers_are_asked_for_by_tcp(self) -> Any:
        return self._check(self.shown("big.example"), ["a-host-with-a-very-long-name-0.example [192.0.2.99]:25"])

    def test_asked_once_and_remembered(self) -> Any:
        async def twice() -> int:
            await defer.DeferredList([self.resolver.targets(route("two.example")) for _ in range(5)])
            await self.resolver.targets(route("two.example"))
            return sum(kind == dns.MX for _, kind in self.zone.asked)

        return self._check(twice(), 1)

    def test_servfail_is_transient(self) -> Any:
        self.patch(names, "LIFETIME", 0.5)
        return self._check(self.refused("two.example", self.faulty(Servfail())), (451, "4.4.3"))

    def test_silence_is_transient(self) -> Any:
        self.patch(names, "LIFETIME", 0.3)
        return self._check(self.refused("two.example", self.faulty(Silent())), (451, "4.4.3"))

    def test_closed_port_is_transient(self) -> Any:
        self.patch(names, "LIFETIME", 0.5)
        return self._check(self.refused("two.example", Resolver(reactor, ["127.0.0.1:1"])), (451, "4.4.3"))

    def test_fixed_hops(self) -> Any:
        async def found() -> tuple[Target, Target]:
            hops = (Hop("192.0.2.1", 2525), Hop("localhost", 26), Hop("no-such-host.invalid", 27))
            targets = await self.resolver.targets(Route("", "x", "SmtpDeliveryToMailbox", hops=hops))
            assert all(target.port != 27 for target in targets)
            return targets[0], next(target for target in targets if target.address == "127.0.0.1")

        return self._check(found(), (Target("192.0.2.1", "192.0.2.1", 2525), Target("localhost", "127.0.0.1", 26)))

    def test_a_fixed_hop_that_is_not_found_is_transient(self) -> Any:
        async def refused() -> int:
            unknown = Route("", "x", "SmtpDeliveryToMailbox", hops=(Hop("no-such-host.invalid", 25),))
            error = await self.assertFailure(self.resolver.targets(unknown), ResolutionError)
            return int(error.reply.code)

        return self._check(refused(), 451)

    def test_a_path_needs_no_address(self) -> Any:
        return self._check(self.resolver_targets(Route("", "x", "MaildirDelivery", kind="maildir", path="/x")), [])

    async def resolver_targets(self, way: Route) -> list[Target]:
        return await self.resolver.targets(way)


def test_a_system_without_answer_is_given_up() -> None:
    class Names:
        def resolveHostName(self, receiver: Any, name: str) -> None:
            """Never answers."""

    clock = Clock()
    clock.nameResolver = Names()  # type: ignore[attr-defined]
    failures: list[Any] = []
    Resolver(clock, ["127.0.0.1"]).targets(Route("", "x", "SmtpDeliveryToMailbox", hops=(Hop("slow", 25),))).addErrback(failures.append)
    clock.advance(31)
    assert failures[0].check(ResolutionError)
