"""What the resolver keeps, and the order that targets come in: security, ourselves, hosts that failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, DeferredList, succeed
from zope.interface import implementer

from tests.network import PATIENCE
from tests.routing.faulty import FaultyCase, answer, asked, good, reactor, route
from twistedrelay.config.schema import Config, ReceiveConnector, Server
from twistedrelay.config.units import BindingValue
from twistedrelay.interfaces import IDomainSecurity, ResolutionError
from twistedrelay.routing import mx, names
from twistedrelay.routing.mx import Resolver
from twistedrelay.routing.ourselves import Ourselves
from twistedrelay.values.route import Hop, Route, Target


class TargetTests(FaultyCase):
    """See the module."""

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

    def test_large_answers_are_not_kept(self) -> Deferred[None]:
        async def look() -> None:
            resolver = self.resolver(lambda query: [answer(query, *(f'"{"x" * 200}{number}"' for number in range(count)))])
            for count, questions in ((10, 1), (50, 2)):
                for _ in range(2):
                    rrset, _, _ = await resolver.names.query(f"text{count}.test", "TXT")
                    assert len(rrset) == count
                assert self.server.questions.count((f"text{count}.test.", "TXT")) == questions

        return Deferred.fromCoroutine(look())

    def test_a_server_that_is_silent_is_asked_once(self) -> Deferred[None]:
        async def look() -> None:
            self.resolver(lambda query: [])
            silent, dead = self.server, self.port
            self.resolver(good)
            resolver = Resolver(reactor, [f"127.0.0.1:{dead}", f"127.0.0.1:{self.port}"])
            resolver.names._resolver.timeout = 0.1
            assert (await resolver.names.query("good.test", "MX"))[0]
            resolver.names._resolver.timeout = PATIENCE
            assert (await resolver.names.query("a.test", "A"))[0]
            assert set(silent.questions) == {("good.test.", "MX")}
            assert resolver.names.local

        return Deferred.fromCoroutine(look())

    # what is asked at the end

    def test_security_has_the_last_word_about_mail_hosts(self) -> Deferred[None]:
        @implementer(IDomainSecurity)
        class Security:
            asked: ClassVar[list[tuple[str, int]]] = []

            def secure(self, route: Route, targets: Sequence[Target]) -> Deferred[list[Target]]:
                self.asked.append((route.mx_domain, len(targets)))
                return succeed(list(targets[1:]))

        async def look() -> None:
            resolver = self.resolver(good)
            resolver.security = Security()
            assert await self.addresses(resolver) == ["192.0.2.2"]
            hop = Route("Out", "x", "SmartHostConnectorDelivery", hops=(Hop("192.0.2.1", 25),))
            assert len(await resolver.targets(hop)) == 1
            assert Security.asked == [("good.test", 2)]

        return Deferred.fromCoroutine(look())

    # ourselves

    def test_fixed_hops_that_are_this_relay(self) -> Deferred[None]:
        """A configuration that goes in circles makes mail wait; an address literal that does returns it."""
        binding = ReceiveConnector.model_construct(bindings=[BindingValue("192.0.2.1", 25)])
        config = Config.model_construct(
            server=Server.model_construct(fqdn="relay.test"), receive_connectors={"In": binding}, send_connectors={}, accepted_domains={}
        )

        async def look() -> None:
            resolver = Resolver(reactor, ["127.0.0.1:1"], Ourselves(config))
            ours, other, beside = Hop("192.0.2.1", 25), Hop("192.0.2.2", 25), Hop("192.0.2.1", 26)
            both = await resolver.targets(Route("Out", "x", "SmartHostConnectorDelivery", hops=(ours, other, beside)))
            assert [(target.address, target.port) for target in both] == [("192.0.2.2", 25), ("192.0.2.1", 26)]
            for way, code, enhanced in (
                (Route("Out", "[192.0.2.1]", "SmartHostConnectorDelivery", hops=(ours,)), 451, "4.4.6"),
                (Route("", "[192.0.2.1]", "SmtpDeliveryToMailbox", hops=(ours,)), 451, "4.4.6"),
                (Route("Out", "[192.0.2.1]", "DnsConnectorDelivery", hops=(ours,)), 554, "5.4.6"),
            ):
                error = await self.assertFailure(resolver.targets(way), ResolutionError)
                assert (error.reply.code, error.reply.enhanced) == (code, enhanced)

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
