"""Tests for L{twistedrelay.routing.domainsecurity}."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.routing.names import FakeNames
from twistedrelay.interfaces import ResolutionError
from twistedrelay.routing.domainsecurity import DomainSecurity
from twistedrelay.routing.mtasts import Policy, PolicyError
from twistedrelay.routing.stspolicies import Policies
from twistedrelay.values.events import Event, TLSResult
from twistedrelay.values.route import TLSA, Route, Target, TLSAssessment, TLSPolicy

DIGEST = "ab" * 32
TEXT = f"3 1 1 {DIGEST}"
DANE = TLSPolicy("dane", "mx.example", (TLSA(3, 1, 1, bytes.fromhex(DIGEST)),), ("example",), source="dane")
ENCRYPTED = TLSPolicy("encrypt", source="dane")
ENFORCED = TLSPolicy("domain", source="mta-sts")
TESTED = TLSPolicy("domain", source="mta-sts", lenient=True)
ROUTE = Route("Internet", "example", "DnsConnectorDelivery", mx_domain="example", dane="Opportunistic", mta_sts=True)
REQUIRED = attrs.evolve(ROUTE, dane="Required")
MX = Target("mx.example", "192.0.2.1", 25)
SECOND = Target("mx2.example", "192.0.2.2", 25)
RECORD = "v=TLSRPTv1; rua=mailto:tls@example"


class SecurityTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.names = FakeNames()
        for target in (MX, SECOND):
            self.names.records[target.host, "A"] = [target.address]
        self.policy: Policy | PolicyError | None = None
        self.told: list[Event] = []

    def fetch(self, domain: str) -> Deferred[Policy]:
        assert self.policy is not None
        return fail(self.policy) if isinstance(self.policy, PolicyError) else succeed(self.policy)

    def secure(self, *targets: Target, route: Route = ROUTE, reports: bool = False) -> list[Target]:
        return self.successResultOf(self.asked(targets or (MX,), route, reports))

    def asked(self, targets: Any, route: Route, reports: bool) -> Deferred[list[Target]]:
        security = DomainSecurity(self.names, Policies(Clock(), self.names, self.fetch), self.told.append if reports else None)
        return security.secure(route, targets)

    def refused(self, *targets: Target, route: Route = ROUTE, reports: bool = False) -> str:
        error: Any = self.failureResultOf(self.asked(targets or (MX,), route, reports), ResolutionError).value
        assert 400 <= error.reply.code < 500
        return str(error.reply)

    def tlsa(self, host: str, *data: str) -> None:
        self.names.records[f"_25._tcp.{host}", "TLSA"] = list(data)
        self.names.signed |= {host, f"_25._tcp.{host}"}

    def sts(self, mode: Any = "enforce", *patterns: str) -> None:
        self.names.records["_mta-sts.example", "TXT"] = ['"v=STSv1; id=1;"']
        self.policy = Policy(mode, patterns or ("mx.example",), 86400)

    def test_nothing_is_published(self) -> None:
        assert self.secure(MX, SECOND) == [MX, SECOND]

    def test_what_is_switched_off_is_not_asked(self) -> None:
        self.sts()
        self.tlsa("mx.example", TEXT)
        assert self.secure(route=attrs.evolve(ROUTE, dane="None", mta_sts=False)) == [MX]
        for level in ("none", "certificate", "domain"):
            assert self.secure(route=attrs.evolve(ROUTE, tls=TLSPolicy(level))) == [MX]  # type: ignore[arg-type]
        assert self.names.asked == []
        assert self.secure(route=attrs.evolve(ROUTE, dane="None")) == [attrs.evolve(MX, tls=ENFORCED)]
        assert self.secure(route=attrs.evolve(ROUTE, mta_sts=False)) == [attrs.evolve(MX, tls=DANE)]

    # -- DANE ------------------------------------------------------------------------------------------------------------

    def test_dane(self) -> None:
        self.tlsa("mx.example", TEXT)
        other = attrs.evolve(MX, address="192.0.2.9")
        assert self.secure(MX, other, SECOND) == [attrs.evolve(MX, tls=DANE), attrs.evolve(other, tls=DANE), SECOND]
        assert self.names.asked.count(("_25._tcp.mx.example", "TLSA")) == 1

    def test_dane_needs_signed_mx(self) -> None:
        self.tlsa("mx.example", TEXT)
        unsigned = attrs.evolve(MX, proven=False)
        assert self.secure(unsigned) == [unsigned]
        assert "4.7.5" in self.refused(unsigned, route=REQUIRED)

    def test_dane_needs_a_server_on_this_host(self) -> None:
        self.names.local = False
        self.tlsa("mx.example", TEXT)
        assert self.secure() == [MX]
        assert self.refused(route=REQUIRED) == (
            "451 4.7.5 smtp_dane: Required needs a validating DNS server on this host, and other servers are asked"
        )

    def test_records_that_cannot_be_used_mean_encryption(self) -> None:
        self.tlsa("mx.example", "3 1 1 abcd")
        assert self.secure() == [attrs.evolve(MX, tls=ENCRYPTED)]
        assert self.refused(route=REQUIRED) == "451 4.7.323 smtp_dane: Required, but no TLSA record of mx.example can be used"

    def test_a_host_whose_records_cannot_be_had_is_not_used(self) -> None:
        self.tlsa("mx.example", TEXT)
        self.names.failing = {("_25._tcp.mx.example", "TLSA")}
        assert self.secure(MX, SECOND) == [SECOND]
        assert self.refused().startswith("451 4.7.324 The DNS gave no answer that can be trusted about the TLSA records of mx.example")

    def test_required(self) -> None:
        self.tlsa("mx2.example", TEXT)
        dane = attrs.evolve(DANE, name="mx2.example")
        assert self.secure(MX, SECOND, route=REQUIRED) == [attrs.evolve(SECOND, tls=dane)]
        assert self.refused(route=REQUIRED) == ("451 4.7.5 smtp_dane: Required, but mx.example has no TLSA records that DNSSEC secures")

    def test_a_defect_does_not_pass_for_no_records(self) -> None:
        self.names.records["mx.example", "A"] = ["no address"]
        assert "4.7.324" in self.refused()
        assert len(self.flushLoggedErrors()) == 1

    # -- MTA-STS ---------------------------------------------------------------------------------------------------------

    def test_enforced(self) -> None:
        """Hosts that the policy does not name are not used; those that it names are proven for REQUIRETLS, too."""
        self.sts("enforce", "mx.example")
        unsigned = attrs.evolve(MX, proven=False)
        assert self.secure(SECOND, unsigned) == [attrs.evolve(MX, tls=ENFORCED, proven=True)]
        assert self.refused(SECOND) == "451 4.7.5 The MTA-STS policy of example does not name the mail host mx2.example"

    def test_tested(self) -> None:
        self.sts("testing", "mx.example")
        unsigned = attrs.evolve(MX, proven=False)
        assert self.secure(unsigned, SECOND) == [attrs.evolve(unsigned, tls=TESTED), SECOND]

    def test_mode_none(self) -> None:
        self.sts("none", "mx.example")
        assert self.secure(MX, SECOND) == [MX, SECOND]

    def test_a_policy_that_cannot_be_had_is_none(self) -> None:
        self.sts()
        self.policy = PolicyError("sts-webpki-invalid", "expired")
        assert self.secure() == [MX]

    def test_dane_comes_first(self) -> None:
        """MTA-STS neither replaces DANE nor takes hosts away from it; hosts without DANE are held to it."""
        self.sts("enforce", "mx2.example")
        self.tlsa("mx.example", TEXT)
        assert self.secure(MX, SECOND) == [attrs.evolve(MX, tls=DANE), attrs.evolve(SECOND, tls=ENFORCED)]
        self.tlsa("mx.example", "3 1 1 abcd")
        assert self.secure() == [attrs.evolve(MX, tls=ENCRYPTED)]
        self.sts("enforce", "mx.example")
        assert self.secure() == [attrs.evolve(MX, tls=ENFORCED)]
        self.names.failing = {("_25._tcp.mx.example", "TLSA")}
        assert "4.7.324" in self.refused()

    # -- reports ---------------------------------------------------------------------------------------------------------

    def report_to(self, *records: str) -> None:
        self.names.records["_smtp._tls.example", "TXT"] = [f'"{record}"' for record in records]

    def assessed(self, kind: Any, domain: str = "example", strings: Any = (), patterns: Any = ()) -> TLSAssessment:
        return TLSAssessment("example", RECORD, kind, domain, tuple(strings), tuple(patterns))

    def test_who_wants_reports(self) -> None:
        for records in ([], ["v=TLSRPTv1"], ["v=TLSRPTv1; rua="], [RECORD, RECORD + "2"], ["v=spf1 -all"]):
            self.report_to(*records)
            assert self.secure(reports=True) == [MX]
        self.report_to(RECORD, "v=spf1 -all")
        assert self.secure(reports=True) == [attrs.evolve(MX, assessment=self.assessed("no-policy-found"))]
        self.names.failing = {("_smtp._tls.example", "TXT")}
        assert self.secure(reports=True) == [MX]
        assert self.told == []

    def test_nobody_is_asked_where_nobody_reports(self) -> None:
        self.report_to(RECORD)
        self.secure()
        assert ("_smtp._tls.example", "TXT") not in self.names.asked

    def test_assessments(self) -> None:
        self.report_to(RECORD)
        self.tlsa("mx.example", TEXT)
        self.sts("enforce", "mx2.example")
        lines = ("version: STSv1", "mode: enforce", "mx: mx2.example", "max_age: 86400")
        assert [target.assessment for target in self.secure(MX, SECOND, reports=True)] == [
            self.assessed("tlsa", "mx.example", [TEXT]),
            self.assessed("sts", "example", lines, ["mx2.example"]),
        ]
        assert self.told == []

    def test_what_is_told_of_hosts_that_are_not_used(self) -> None:
        self.report_to(RECORD)
        self.names.failing = {("_25._tcp.mx.example", "TLSA")}
        self.tlsa("mx.example", TEXT)
        text = "The DNS gave no answer that can be trusted about the TLSA records of mx.example"
        self.refused(MX, attrs.evolve(MX, address="192.0.2.9"), reports=True)
        assert self.told == [TLSResult(self.assessed("tlsa", "mx.example"), *("mx.example", "192.0.2.1", "dnssec-invalid", text))]
        self.told.clear()
        self.names.failing = set()
        self.tlsa("mx.example", "3 1 1 abcd")
        self.secure(reports=True)
        assert [event.failure for event in self.told if isinstance(event, TLSResult)] == ["tlsa-invalid"]

    def test_what_is_told_of_policies(self) -> None:
        self.report_to(RECORD)
        self.sts("testing", "mx2.example")
        assert self.secure(reports=True) == [MX]  # the session that follows counts no second time
        assert [event.failure for event in self.told if isinstance(event, TLSResult)] == ["validation-failure"]
        self.told.clear()
        self.policy = PolicyError("sts-policy-fetch-error", "the answer is 500")
        assert self.secure(reports=True) == [attrs.evolve(MX, assessment=self.assessed("no-policy-found"))]
        assert self.told == [TLSResult(self.assessed("sts"), "", "", "sts-policy-fetch-error", "the answer is 500")]
        self.told.clear()
        self.tlsa("mx.example", TEXT)
        self.secure(reports=True)
        assert self.told == []  # with DANE nobody needs the policy
