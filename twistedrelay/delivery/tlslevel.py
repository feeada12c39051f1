"""What TLS a connection to one address has: the route's demand, the host's own policy, REQUIRETLS; and how it went, for reports.

A host's policy (DANE, MTA-STS) takes the place of a route's that verifies nothing; a route that names a certificate level keeps it.  With
REQUIRETLS the host proves its name, by DANE or by a certificate of the system's authorities.  Whether clear text may follow is said here
and nowhere else: only where TLS is opportunistic, or a policy is being tested.

Sources: RFC 7672 section 2.2, RFC 8461 section 5, RFC 8689 section 4.2.1, RFC 8460 section 4.3.
"""

from __future__ import annotations

from typing import Literal, Protocol

import attrs

from twistedrelay.tls.failures import UntrustedPeer
from twistedrelay.values.events import TLSResult
from twistedrelay.values.route import Route, Target, TLSPolicy
from twistedrelay.wire.client_values import Broken, Stage

NO_TLS = TLSPolicy("none")

_NO_STARTTLS = "starttls-not-supported"


class Session(Protocol):
    """What a delivery connection tells of its TLS.

    @ivar tls: version and cipher, C{""} before the handshake and without one.
    @ivar untrusted: why the server's certificate does not do, whether that ended the session or not.
    """

    tls: str
    untrusted: UntrustedPeer | None


def policy_at(route: Route, target: Target | None) -> TLSPolicy:
    """What an address of a route must prove; nothing at a UNIX socket."""
    if target is None:
        return NO_TLS
    policy, own = route.tls, target.tls
    if own is not None and (policy.level == "may" or (policy.level == "encrypt" and not own.lenient)):
        policy = attrs.evolve(own, certificate=policy.certificate) if policy.certificate else own
    if route.require_tls and policy.level != "dane" and (policy.level != "domain" or policy.lenient):
        policy = TLSPolicy("domain", certificate=policy.certificate, source="requiretls")
    return policy


def starttls_of(policy: TLSPolicy) -> Literal["never", "may", "must"]:
    """How a session is to treat STARTTLS."""
    if policy.level == "none":
        return "never"
    return "may" if allows_clear_text(policy) else "must"


def allows_clear_text(policy: TLSPolicy) -> bool:
    """Whether a session may go on without TLS where there is none, or it does not work."""
    return policy.level in ("none", "may") or policy.lenient


def tls_result(target: Target | None, policy: TLSPolicy, session: Session | None, broken: Broken | None) -> TLSResult | None:
    """How TLS went in a session that is set up, or was broken; None where nobody wants to know, or it did not get that far."""
    if target is None or target.assessment is None or session is None or policy.level == "none":
        return None
    result = _result(session, broken)
    return TLSResult(target.assessment, target.host, target.address, *result) if result is not None else None


def tls_outcome(session: Session, broken: Broken | None) -> str:
    """How TLS went, for the statistics: C{"success"}, C{"clear-text"}, a result type of RFC 8460, or C{""} before it got that far."""
    if broken is None and not session.tls and session.untrusted is None:
        return "clear-text"
    result = _result(session, broken)
    return "" if result is None else result[0] or "success"


def _result(session: Session, broken: Broken | None) -> tuple[str, str] | None:
    if session.untrusted is not None:
        return session.untrusted.failure, str(session.untrusted)
    if session.tls:
        return "", ""
    if broken is None:
        return _NO_STARTTLS, ""
    if broken.stage is Stage.HANDSHAKE:
        return "validation-failure", broken.reply.text
    if broken.own and broken.stage in (Stage.HELLO, Stage.STARTTLS) and broken.reply.enhanced in ("4.7.4", "5.7.10"):
        return _NO_STARTTLS, broken.reply.text
    return None
