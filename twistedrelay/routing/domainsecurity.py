"""What each mail host of a domain must prove: by DANE, else by the domain's MTA-STS policy, else what the connector asks for.

A host with signed TLSA records is held to them, and MTA-STS never overrides that; where none of them can be used there is what an
enforced MTA-STS policy asks of it, else TLS or nothing.  A host whose records cannot be had, one that an enforced policy
does not name, and one without records where C{smtp_dane: Required} wants them is not used; where no host is left, mail waits.  Nothing here
ever makes mail return, or go out in clear text.  A connector that itself says what a server proves (certificate levels), or ignores
STARTTLS, has its way: nothing is asked then.

A validated answer is only as good as the way to the server that validated it: DANE needs servers on this host.

A domain that asks for TLS reports gets an assessment with each target, and hears of hosts that were left out.

Sources: RFC 7672, RFC 8461 section 5, RFC 8460 section 3, RFC 8689 section 4.2.1; enhanced codes as Exchange Online's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred, DeferredList, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twistedrelay.interfaces import IDomainSecurity, INames, ResolutionError
from twistedrelay.routing.mtasts import Policy
from twistedrelay.routing.stspolicies import NOTHING, Found, Policies
from twistedrelay.routing.tlsarecords import NONE, Published, published
from twistedrelay.values.events import Event, TLSResult
from twistedrelay.values.printable import masked
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Route, Target, TLSAssessment, TLSPolicy

_log = Logger()

MAX_LINES = 64  #: of a policy in a report

_STS = TLSPolicy("domain", source="mta-sts")
_TESTED = TLSPolicy("domain", source="mta-sts", lenient=True)
_ENCRYPTED = TLSPolicy("encrypt", source="dane")
_WANTED = re.compile(rb"v=TLSRPTv1\s*;.*\brua\s*=\s*\S")
_CODES = {"dnssec-invalid": "4.7.324", "tlsa-invalid": "4.7.323"}


@attrs.frozen(slots=True)
class _Published:
    """What is known of a domain: its MTA-STS policy, who wants reports, the TLSA records of its hosts (None: nobody can tell)."""

    sts: Found
    report_to: str
    records: dict[str, Published | None]


@attrs.frozen(slots=True)
class _Verdict:
    """What a host must prove; or why it is not used, or only would not be (C{failure})."""

    policy: TLSPolicy | None = None
    used: bool = True
    failure: str = ""
    detail: str = ""


@implementer(IDomainSecurity)
class DomainSecurity:
    """See the module.

    @ivar emit: takes events; None where nobody makes reports.
    """

    def __init__(self, names: INames, policies: Policies, emit: Callable[[Event], None] | None = None) -> None:
        self._names = names
        self._policies = policies
        self.emit = emit

    def secure(self, route: Route, targets: Sequence[Target]) -> Deferred[list[Target]]:
        """See L{IDomainSecurity.secure}."""
        if route.tls.level not in ("may", "encrypt") or (route.dane == "None" and not route.mta_sts and self.emit is None):
            return succeed(list(targets))
        if route.dane == "Required" and not self._names.local:
            text = "smtp_dane: Required needs a validating DNS server on this host, and other servers are asked"
            return fail(ResolutionError(Reply(451, "4.7.5", text)))
        return Deferred.fromCoroutine(self._secure(route, targets))

    async def _secure(self, route: Route, targets: Sequence[Target]) -> list[Target]:
        found = await self._look_up(route, targets)
        self._tell_of_sts(route.mx_domain, found)
        chosen, refused = [], []
        verdicts: dict[str, _Verdict] = {}
        for target in targets:
            verdict = verdicts.get(target.host)
            assessment = self._assessment(route.mx_domain, target, found)
            if verdict is None:
                verdict = verdicts[target.host] = self._judge(route, target.host, found)
                self._tell(assessment, verdict, target)
            if not verdict.used:
                refused.append(verdict)
                continue
            proven = target.proven or (verdict.policy is _STS)
            told = None if verdict.failure else assessment  # a session counts once
            chosen.append(attrs.evolve(target, tls=verdict.policy, proven=proven, assessment=told))
        if refused and not chosen:
            raise ResolutionError(Reply(451, _CODES.get(refused[0].failure, "4.7.5"), masked(refused[0].detail, " ")[:250]))
        return chosen

    # -- what is published -----------------------------------------------------------------------------------------------

    async def _look_up(self, route: Route, targets: Sequence[Target]) -> _Published:
        """Everything at once."""
        sts = self._policies.find(route.mx_domain) if route.mta_sts else succeed(NOTHING)
        report_to = self._report_to(route.mx_domain) if self.emit is not None else succeed("")
        hosts = {}
        if route.dane != "None" and self._names.local:
            for target in targets:
                if target.proven and target.host not in hosts:
                    hosts[target.host] = self._records(target)
        waiting: list[Deferred[Any]] = [sts, report_to, *hosts.values()]
        results = [result for _, result in await DeferredList(waiting)]
        return _Published(results[0], results[1], dict(zip(hosts, results[2:], strict=True)))

    def _records(self, target: Target) -> Deferred[Published | None]:
        kind = "AAAA" if ":" in target.address else "A"
        asked = Deferred.fromCoroutine(published(self._names, target.host, kind, target.port))
        return asked.addErrback(_nobody_can_tell)

    def _report_to(self, domain: str) -> Deferred[str]:
        """The record of who wants TLS reports; C{""} for nobody."""

        def chosen(answer: tuple[Any, bool, float]) -> str:
            texts = [b"".join(record.strings) for record in answer[0] or ()]
            ours = [text for text in texts if text.startswith(b"v=TLSRPTv1")]
            return ours[0].decode("ascii", "replace") if len(ours) == 1 and _WANTED.match(ours[0]) else ""

        return self._names.query(f"_smtp._tls.{domain}", "TXT").addCallback(chosen).addErrback(_nobody)

    # -- what follows ----------------------------------------------------------------------------------------------------

    def _judge(self, route: Route, host: str, found: _Published) -> _Verdict:
        records = found.records.get(host, NONE)
        if records is None:
            return _Verdict(None, False, "dnssec-invalid", f"The DNS gave no answer that can be trusted about the TLSA records of {host}")
        if records.records:
            return _Verdict(TLSPolicy("dane", records.base, records.records, (route.mx_domain,), source="dane"))
        if route.dane == "Required":
            if records.exists:
                return _Verdict(None, False, "tlsa-invalid", f"smtp_dane: Required, but no TLSA record of {host} can be used")
            return _Verdict(None, False, "dane-required", f"smtp_dane: Required, but {host} has no TLSA records that DNSSEC secures")
        policy = found.sts.policy
        enforced = policy is not None and policy.mode == "enforce" and policy.allows(host)
        if records.exists:
            return _Verdict(_STS if enforced else _ENCRYPTED, True, "tlsa-invalid", f"no TLSA record of {host} can be used")
        if policy is None or policy.mode == "none":
            return _Verdict()
        if policy.allows(host):
            return _Verdict(_STS if enforced else _TESTED)
        text = f"The MTA-STS policy of {route.mx_domain} does not name the mail host {host}"
        return _Verdict(None, policy.mode != "enforce", "validation-failure", text)

    def _assessment(self, domain: str, target: Target, found: _Published) -> TLSAssessment | None:
        if not found.report_to:
            return None
        records = found.records.get(target.host, NONE)
        if records is None:
            return TLSAssessment(domain, found.report_to, "tlsa", target.host)
        if records.exists:
            return TLSAssessment(domain, found.report_to, "tlsa", records.base, records.strings)
        return _of_sts(domain, found.report_to, found.sts.policy) or TLSAssessment(domain, found.report_to, policy_domain=domain)

    def _tell(self, assessment: TLSAssessment | None, verdict: _Verdict, target: Target) -> None:
        if assessment is not None and self.emit is not None and verdict.failure:
            self.emit(TLSResult(assessment, target.host, target.address, verdict.failure, verdict.detail))

    def _tell_of_sts(self, domain: str, found: _Published) -> None:
        """A policy that could not be had, where there is no DANE that would come first."""
        if (
            found.sts.failure
            and found.report_to
            and self.emit is not None
            and not any(each and each.exists for each in found.records.values())
        ):
            assessment = _of_sts(domain, found.report_to, found.sts.policy) or TLSAssessment(domain, found.report_to, "sts", domain)
            self.emit(TLSResult(assessment, "", "", found.sts.failure, found.sts.detail))


def _of_sts(domain: str, report_to: str, policy: Policy | None) -> TLSAssessment | None:
    if policy is None or policy.mode == "none":
        return None
    return TLSAssessment(domain, report_to, "sts", domain, policy.lines()[:MAX_LINES], policy.patterns[:MAX_LINES])


def _nobody(failure: Failure) -> str:
    failure.trap(ResolutionError)
    return ""


def _nobody_can_tell(failure: Failure) -> None:
    """Whatever it was, it must not pass for a host without records."""
    if not failure.check(ResolutionError):
        _log.failure("a defect while looking up TLSA records", failure)
