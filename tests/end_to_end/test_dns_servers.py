"""The resolver against real DNS servers: an authoritative one (NSD) behind a recursive one (Unbound)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.end_to_end.dnsservers import Authority, Recursor
from tests.programs import MissingProgram, in_ci
from twistedrelay.interfaces import ResolutionError
from twistedrelay.routing.mx import Resolver
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Route

ZONE = """
a          A     192.0.2.1
a          AAAA  2001:db8::1
b          A     192.0.2.2
c          AAAA  2001:db8::3
many       A     192.0.2.11
many       A     192.0.2.12
many       A     192.0.2.13

two        MX    20 b
two        MX    10 a
equal      MX    10 a
equal      MX    10 b
implicit   A     192.0.2.80
null       MX    0 .
text       TXT   "no mail here"
lost       MX    10 gone
half       MX    10 gone
half       MX    20 b
sick       MX    10 host.dead.example.
sick       MX    20 b
allsick    MX    10 host.dead.example.
deadzone   CNAME any.dead.example.
alias      CNAME two
far        CNAME alias
implied    CNAME implicit
lostalias  CNAME gone
viaalias   MX    10 byname
byname     CNAME b
round      CNAME trip
trip       CNAME round
mixed      MX    0 .
mixed      MX    10 b
literal    MX    10 192.0.2.1.
literal    MX    20 gone
xn--bcher-kva MX 10 a
ours       MX    10 a
ours       MX    20 relay
ours       MX    30 b
loop       MX    10 relay
aliased    MX    10 otherself
otherself  CNAME relay
relay      A     192.0.2.10
short      0 MX  10 a
inside     MX    10 private
private    A     10.0.0.1
private    A     127.0.0.1
private    AAAA  fd00::1
private    AAAA  ::ffff:127.0.0.1
partly     MX    10 partlyprivate
partlyprivate A  192.168.1.1
partlyprivate A  192.0.2.77
""" + "".join(f"crowd MX 10 host{number}-with-a-name-that-makes-the-answer-long\n" for number in range(500)) + """
host0-with-a-name-that-makes-the-answer-long A 192.0.2.99
"""  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def servers() -> Iterator[None]:
    """Both servers, for all tests of the module."""
    try:
        with Authority(ZONE) as authority, Recursor(authority) as recursor:
            DNSServerTests.address = recursor.address
            DNSServerTests.direct = authority.address
            yield
    except MissingProgram as missing:
        if in_ci():
            raise
        pytest.skip(str(missing))


def route(domain: str, **more: Any) -> Route:
    return Route("Internet", domain, "DnsConnectorDelivery", mx_domain=domain, helo="relay.test", **more)


class DNSServerTests(TestCase):
    """See the module."""

    address = ""
    direct = ""

    def setUp(self) -> None:
        self.resolver = Resolver(reactor, [self.address])

    async def hosts(self, domain: str, **more: Any) -> list[str]:
        """The names of the hosts in order."""
        return list(dict.fromkeys(target.host for target in await self.resolver.targets(route(domain, **more))))

    async def refusal(self, domain: str, **more: Any) -> Reply:
        try:
            found = await self.resolver.targets(route(domain, **more))
        except ResolutionError as error:
            return error.reply
        raise AssertionError(found)

    def finds(self, *wanted: tuple[str, list[str]]) -> Deferred[None]:
        async def look() -> None:
            for domain, hosts in wanted:
                assert await self.hosts(domain) == hosts, domain

        return Deferred.fromCoroutine(look())

    def refuses(self, *wanted: tuple[str, int, str]) -> Deferred[None]:
        async def look() -> None:
            for domain, code, enhanced in wanted:
                reply = await self.refusal(domain)
                assert (reply.code, reply.enhanced) == (code, enhanced), f"{domain}: {reply}"

        return Deferred.fromCoroutine(look())

    def test_preferences_and_implicit_mx(self) -> Deferred[None]:
        return self.finds(("two.test", ["a.test", "b.test"]), ("implicit.test", ["implicit.test"]), ("half.test", ["b.test"]))

    def test_aliases(self) -> Deferred[None]:
        """Of the domain itself, of its hosts, several in a row."""
        return self.finds(
            ("alias.test", ["a.test", "b.test"]),
            ("far.test", ["a.test", "b.test"]),
            ("implied.test", ["implied.test"]),
            ("viaalias.test", ["byname.test"]),
        )

    def test_international_names(self) -> Deferred[None]:
        return self.finds(("xn--bcher-kva.test", ["a.test"]))

    def test_what_is_final(self) -> Deferred[None]:
        return self.refuses(
            ("missing.test", 550, "5.4.4"),
            ("deeply.missing.test", 550, "5.4.4"),
            ("lostalias.test", 550, "5.4.4"),
            ("text.test", 550, "5.4.4"),
            ("lost.test", 550, "5.4.4"),
            ("literal.test", 550, "5.4.4"),
            ("null.test", 556, "5.1.10"),
        )

    def test_what_waits(self) -> Deferred[None]:
        return self.refuses(*((domain, 451, "4.4.3") for domain in ("allsick.test", "any.dead.example", "deadzone.test", "round.test")))

    def test_a_host_that_the_dns_says_nothing_of_is_passed_over(self) -> Deferred[None]:
        return self.finds(("sick.test", ["b.test"]), ("mixed.test", ["b.test"]))

    def test_ourselves_among_the_hosts(self) -> Deferred[None]:
        async def look() -> None:
            assert await self.hosts("ours.test") == ["a.test"]
            for domain in ("loop.test", "aliased.test", "relay.test"):
                reply = await self.refusal(domain)
                assert (reply.code, reply.enhanced) == (554, "5.4.6"), domain

        return Deferred.fromCoroutine(look())

    def test_a_dns_failure_may_be_a_reason_to_wait(self) -> Deferred[None]:
        async def look() -> None:
            for domain in ("missing.test", "text.test", "lost.test"):
                reply = await self.refusal(domain, dns_failures_wait=True)
                assert (reply.code, reply.enhanced) == (451, "4.4.4"), domain
            assert (await self.refusal("null.test", dns_failures_wait=True)).code == 556

        return Deferred.fromCoroutine(look())

    def test_private_addresses(self) -> Deferred[None]:
        async def look() -> None:
            reply = await self.refusal("inside.test", private_targets=False)
            assert (reply.code, reply.enhanced) == (550, "5.4.4")
            assert "private" in reply.text
            assert len(await self.resolver.targets(route("inside.test"))) == 4
            partly = await self.resolver.targets(route("partly.test", private_targets=False))
            assert [target.address for target in partly] == ["192.0.2.77"]

        return Deferred.fromCoroutine(look())

    def test_equal_preferences_and_addresses_are_shuffled(self) -> Deferred[None]:
        async def look() -> None:
            first = {(await self.hosts("equal.test"))[0] for _ in range(60)}
            assert first == {"a.test", "b.test"}
            addresses = {(await self.resolver.targets(route("many.test")))[0].address for _ in range(100)}
            assert addresses == {"192.0.2.11", "192.0.2.12", "192.0.2.13"}

        return Deferred.fromCoroutine(look())

    def test_five_hundred_hosts(self) -> Deferred[None]:
        """A large answer comes by TCP; only some hosts are looked up, and the search ends."""

        async def look() -> None:
            began = time.monotonic()
            assert await self.hosts("crowd.test") == ["host0-with-a-name-that-makes-the-answer-long.test"]
            assert time.monotonic() - began < 10

        return Deferred.fromCoroutine(look())

    def test_answers_are_kept_as_long_as_they_say(self) -> Deferred[None]:
        async def look() -> None:
            for domain in ("two.test", "missing.test", "text.test"):
                await self.resolver.names.query(domain, "MX")
            ttls = {}
            for domain in ("two.test", "missing.test", "text.test", "short.test"):
                rrset, authenticated, ttls[domain] = await self.resolver.names.query(domain, "MX")
                assert (rrset is not None) is (domain in ("two.test", "short.test"))
                assert not authenticated
            assert 290 < ttls["two.test"] <= 300
            assert 50 < ttls["missing.test"] <= 60, "by the minimum of the SOA"
            assert 50 < ttls["text.test"] <= 60
            assert ttls["short.test"] == 0

        return Deferred.fromCoroutine(look())

    def test_an_authority_that_follows_no_aliases(self) -> Deferred[None]:
        """An alias into another zone is asked for on; here that zone is not served, which is no answer."""

        async def look() -> None:
            self.resolver = Resolver(reactor, [self.direct])
            assert await self.hosts("two.test") == ["a.test", "b.test"]
            assert self.resolver.names.local

        return Deferred.fromCoroutine(look())
