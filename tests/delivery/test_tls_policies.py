"""Policies of hosts in real sessions: what is kept to, what is only told, and what waits."""

from __future__ import annotations

from typing import Any

import attrs
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet.defer import inlineCallbacks

from tests.delivery.agent_case import AUTHORITY, AgentCase
from tests.delivery.peers import Lane, Server, ServerCreator, job, route
from twistedrelay.delivery.agent import DeliveryAgent
from twistedrelay.tls.outbound import ClientContexts
from twistedrelay.values.events import TLSResult
from twistedrelay.values.route import TLSA, TLSAssessment, TLSPolicy

OFFER = b"250-mx.test\r\n250-PIPELINING\r\n250 STARTTLS\r\n"
ASSESSMENT = TLSAssessment("example", "v=TLSRPTv1; rua=mailto:x@example", "sts", "example")
TESTED = TLSPolicy("domain", source="mta-sts", lenient=True)
ENFORCED = TLSPolicy("domain", source="mta-sts")


class PolicyTests(AgentCase):
    def make_agent(self, **more: Any) -> DeliveryAgent:
        trust = x509.load_pem_x509_certificates(AUTHORITY.cert_pem.bytes())
        agent = DeliveryAgent(self.paced, self.resolver, ClientContexts(trust=trust).creator, self.events, **more)
        self.addCleanup(agent.stop, 0)
        return agent

    def tls_server(self, name: str = "mx.test", authority: trustme.CA = AUTHORITY) -> Server:
        return Server(tls=ServerCreator(authority, name), replies={"EHLO": [OFFER]})

    @inlineCallbacks
    def run_with(self, server: Server, policy: TLSPolicy | None, **more: Any) -> Any:
        """The lane and the reply of a run where the host has a policy."""
        self.serve(server)
        self.resolver.list[-1] = attrs.evolve(self.resolver.list[-1], tls=policy, assessment=ASSESSMENT)
        lane = Lane(route(self.resolver.list[-1].port, **more), job())
        reply = yield self.agent.run(lane)
        return lane, reply

    def told(self) -> list[str]:
        return [event.failure for event in self.events.all if isinstance(event, TLSResult)]

    @inlineCallbacks
    def test_an_enforced_policy_that_is_met(self) -> Any:
        lane, _ = yield self.run_with(self.tls_server(), ENFORCED)
        assert lane.codes == [250]
        assert lane.outcomes[0].tls
        assert self.told() == [""]

    @inlineCallbacks
    def test_an_enforced_policy_that_is_not(self) -> Any:
        """The mail waits, and nothing of it is sent, neither in clear text nor to another's certificate."""
        for server, failure, code in (
            (self.tls_server("wrong.test"), "certificate-host-mismatch", "4.7.5"),
            (self.tls_server(authority=trustme.CA()), "certificate-not-trusted", "4.7.5"),
            (Server(), "starttls-not-supported", "4.7.4"),
        ):
            self.events.all.clear()
            self.resolver.list.clear()
            lane, reply = yield self.run_with(server, ENFORCED)
            assert (reply.is_transient, reply.enhanced) == (True, code)
            assert (lane.codes, server.messages, self.told()) == ([], [], [failure])
            assert "MAIL" not in server.verbs

    @inlineCallbacks
    def test_a_policy_that_is_tested(self) -> Any:
        """All is delivered, and what would have been wrong is told, once."""
        for server, failure, secure in (
            (self.tls_server(), "", True),
            (self.tls_server("wrong.test"), "certificate-host-mismatch", True),
            (self.tls_server(authority=trustme.CA()), "certificate-not-trusted", True),
            (Server(), "starttls-not-supported", False),
            (Server(replies={"EHLO": [OFFER], "STARTTLS": [b"454 no\r\n"]}), "starttls-not-supported", False),
        ):
            self.events.all.clear()
            self.resolver.list.clear()
            self.agent = self.make_agent()  # which keeps no connection
            lane, _ = yield self.run_with(server, TESTED)
            assert lane.codes == [250]
            assert bool(lane.outcomes[0].tls) is secure
            assert self.told() == [failure]

    @inlineCallbacks
    def test_dane(self) -> Any:
        stranger = trustme.CA()
        authority = x509.load_pem_x509_certificate(stranger.cert_pem.bytes()).public_bytes(Encoding.DER)
        good = TLSPolicy("dane", "mx.test", (TLSA(2, 0, 0, authority),), source="dane")
        server = self.tls_server(authority=stranger)
        lane, _ = yield self.run_with(server, good)
        assert (lane.codes, self.told()) == ([250], [""])

    @inlineCallbacks
    def test_dane_that_is_not_met(self) -> Any:
        wrong = TLSPolicy("dane", "mx.test", (TLSA(3, 1, 1, bytes(32)),), source="dane")
        server = self.tls_server()
        lane, reply = yield self.run_with(server, wrong)
        assert str(reply) == "454 4.7.5 TLS handshake failed: no TLSA record fits the server's certificate"
        assert (lane.codes, self.told()) == ([], ["validation-failure"])
        assert len(server.sessions) == 1  # no second try in clear text

    @inlineCallbacks
    def test_our_certificate_is_missing(self) -> Any:
        server = self.tls_server()
        lane, reply = yield self.run_with(server, None, tls=TLSPolicy("encrypt", certificate="AB" * 20))
        assert str(reply).startswith("454 4.7.5 No TLS: the certificate 'ABAB")
        assert (lane.codes, server.sessions) == ([], [])
