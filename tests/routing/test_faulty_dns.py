"""A DNS server that misbehaves in every way: what it says wrong is never believed, and no search lasts longer than its budget."""

from __future__ import annotations

from typing import Any

import dns.flags
import dns.message
import dns.rcode
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater

from tests.network import PATIENCE
from tests.routing.faulty import Answering, FaultyCase, Message, answer, asked, failing, good, reactor


class SlowStream(Protocol):
    """A TCP side that takes the question and says nothing, or too much."""

    flood = b""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(self.flood)


class FaultyServerTests(FaultyCase):
    """See the module."""

    retry = 0.1

    def waits(self, answering: Answering, domain: str = "good.test") -> Deferred[None]:
        """Mail waits, and the failure is not kept: the same resolver finds the way once the server is well."""

        async def look() -> None:
            resolver = self.resolver(answering)
            self.allow(0.3, 0.1)
            began = reactor.seconds()
            reply = await self.refusal(resolver, domain)
            assert (reply.code, reply.enhanced) == (451, "4.4.3")
            assert domain in reply.text
            assert reactor.seconds() - began < PATIENCE
            self.server.answering = good
            self.allow(PATIENCE, PATIENCE)
            assert await self.addresses(resolver) == ["192.0.2.1", "192.0.2.2"]

        return Deferred.fromCoroutine(look())

    def finds(self, answering: Answering, *addresses: str, domain: str = "good.test", grace: float = PATIENCE) -> Deferred[None]:
        """Mail has a way, without those that say nothing behind a grace."""

        async def look() -> None:
            resolver = self.resolver(answering)
            self.allow(PATIENCE, grace)
            assert await self.addresses(resolver, domain) == list(addresses)
            self.server.answering = good
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
            self.allow(0.3, 0.1)
            factory: Any = Factory.forProtocol(SlowStream)
            self.patch(SlowStream, "flood", flood)  # type: ignore[call-arg]
            tcp = reactor.listenTCP(self.port, factory, interface="127.0.0.1")
            began = reactor.seconds()
            try:
                assert (await self.refusal(resolver)).code == 451
            finally:
                await tcp.stopListening()
            assert reactor.seconds() - began < PATIENCE

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

        return self.finds(only_ipv4, "192.0.2.3", domain="plain.test", grace=0.1)

    def test_one_family_fails(self) -> Deferred[None]:
        def only_ipv6(query: Message) -> list[bytes | Message]:
            return [failing(query, dns.rcode.SERVFAIL)] if asked(query)[1] == "A" else good(query)

        return self.finds(only_ipv6, "2001:db8::3", domain="plain.test")

    def test_no_address_in_one_family_and_silence_about_the_other_is_no_answer(self) -> Deferred[None]:
        def half(query: Message) -> list[bytes | Message]:
            return [answer(query)] if asked(query)[1] == "AAAA" else [] if asked(query)[1] == "A" else good(query)

        return self.waits(half)

    def test_the_best_host_is_silent(self) -> Deferred[None]:
        return self.finds(lambda query: [] if asked(query)[0] == "a.test." else good(query), "192.0.2.2", grace=0.1)

    def test_better_hosts_than_us_that_do_not_answer_are_a_reason_to_wait_and_no_loop(self) -> Deferred[None]:
        def us_and_a_sick_one(query: Message) -> list[bytes | Message]:
            name, kind = asked(query)
            if (name, kind) == ("ours.test.", "MX"):
                return [answer(query, "10 sick.test.", "20 relay.test.")]
            return [failing(query, dns.rcode.SERVFAIL)] if name == "sick.test." else good(query)

        return self.waits(us_and_a_sick_one, "ours.test")
