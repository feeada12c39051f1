"""Tests for L{twistedrelay.delivery.tlslevel}."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from twistedrelay.delivery.tlslevel import NO_TLS, allows_clear_text, policy_at, starttls_of, tls_result
from twistedrelay.tls.failures import UntrustedPeer
from twistedrelay.values.events import TLSResult
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import TLSA, Route, Target, TLSAssessment, TLSPolicy
from twistedrelay.wire.client_values import Broken, Stage

DANE = TLSPolicy("dane", "mx.example", (TLSA(3, 1, 1, bytes(32)),), source="dane")
UNUSABLE = TLSPolicy("encrypt", source="dane")
ENFORCED = TLSPolicy("domain", source="mta-sts")
TESTED = TLSPolicy("domain", source="mta-sts", lenient=True)
NAMED = TLSPolicy("domain", "smtp.provider.example")
REQUIRED = TLSPolicy("domain", source="requiretls")


def at(policy: TLSPolicy, own: TLSPolicy | None, **route: Any) -> TLSPolicy:
    return policy_at(
        Route("Internet", "example", "DnsConnectorDelivery", tls=policy, **route), Target("mx.example", "192.0.2.1", 25, tls=own)
    )


@pytest.mark.parametrize(
    ("level", "own", "result"),
    [
        ("may", None, TLSPolicy("may")),
        ("may", DANE, DANE),
        ("may", UNUSABLE, UNUSABLE),
        ("may", ENFORCED, ENFORCED),
        ("may", TESTED, TESTED),
        ("encrypt", None, TLSPolicy("encrypt")),
        ("encrypt", DANE, DANE),
        ("encrypt", ENFORCED, ENFORCED),
        ("encrypt", TESTED, TLSPolicy("encrypt")),  # a test must not take away what the connector demands
        ("certificate", DANE, TLSPolicy("certificate")),
        ("domain", ENFORCED, TLSPolicy("domain")),
        ("none", ENFORCED, TLSPolicy("none")),
    ],
)
def test_which_policy_counts(level: Any, own: TLSPolicy | None, result: TLSPolicy) -> None:
    assert at(TLSPolicy(level), own) == result
    mine = at(TLSPolicy(level, certificate="A" * 40), own)
    assert mine == attrs.evolve(result, certificate="A" * 40)


@pytest.mark.parametrize(
    ("policy", "own", "result"),
    [
        (TLSPolicy("may"), None, REQUIRED),
        (TLSPolicy("may"), DANE, DANE),
        (TLSPolicy("may"), UNUSABLE, REQUIRED),
        (TLSPolicy("may"), ENFORCED, ENFORCED),
        (TLSPolicy("may"), TESTED, REQUIRED),
        (TLSPolicy("certificate"), None, REQUIRED),
        (NAMED, None, NAMED),
        (TLSPolicy("none"), None, REQUIRED),
    ],
)
def test_with_requiretls(policy: TLSPolicy, own: TLSPolicy | None, result: TLSPolicy) -> None:
    """DANE or a good certificate with the name: nothing less."""
    found = at(policy, own, require_tls=True)
    assert found == result
    assert not allows_clear_text(found)


def test_a_socket_has_no_tls() -> None:
    assert policy_at(Route("", "lmtp:unix:/x", "SmtpDeliveryToMailbox", kind="lmtp", path="/x"), None) == NO_TLS


@pytest.mark.parametrize(
    ("policy", "starttls", "clear"),
    [
        (NO_TLS, "never", True),
        (TLSPolicy("may"), "may", True),
        (TESTED, "may", True),
        (TLSPolicy("encrypt"), "must", False),
        (ENFORCED, "must", False),
        (DANE, "must", False),
        (UNUSABLE, "must", False),
    ],
)
def test_clear_text(policy: TLSPolicy, starttls: str, clear: bool) -> None:
    """A policy that is not met never ends in clear text."""
    assert (starttls_of(policy), allows_clear_text(policy)) == (starttls, clear)


@attrs.define
class Session:
    tls: str = ""
    untrusted: UntrustedPeer | None = None


MISMATCH = UntrustedPeer("not for mx.example", "certificate-host-mismatch")
ASSESSMENT = TLSAssessment("example", "v=TLSRPTv1; rua=mailto:x@example")


@pytest.mark.parametrize(
    ("session", "broken", "result"),
    [
        (Session("TLSv1.3 X"), None, ("", "")),
        (Session("TLSv1.3 X"), Broken(Reply(454, "4.7.0", "no"), True, Stage.AUTH), ("", "")),
        (Session("TLSv1.3 X", MISMATCH), None, ("certificate-host-mismatch", "not for mx.example")),
        (
            Session("", MISMATCH),
            Broken(Reply(454, "4.7.5", "x"), True, Stage.HANDSHAKE),
            ("certificate-host-mismatch", "not for mx.example"),
        ),
        (Session(), Broken(Reply(454, "4.7.5", "alert"), True, Stage.HANDSHAKE), ("validation-failure", "alert")),
        (Session(), None, ("starttls-not-supported", "")),
        (Session(), Broken(Reply(451, "4.7.4", "not offered"), True, Stage.HELLO), ("starttls-not-supported", "not offered")),
        (Session(), Broken(Reply(451, "4.7.4", "refused"), True, Stage.STARTTLS), ("starttls-not-supported", "refused")),
        (Session(), Broken(Reply(421, "4.3.2", "busy"), False, Stage.BANNER), None),
        (Session(), Broken(Reply(451, "4.4.2", "lost"), True, Stage.HELLO), None),
        (None, None, None),
    ],
)
def test_results(session: Session | None, broken: Broken | None, result: tuple[str, str] | None) -> None:
    target = Target("mx.example", "192.0.2.1", 25, assessment=ASSESSMENT)
    expected = TLSResult(ASSESSMENT, "mx.example", "192.0.2.1", *result) if result is not None else None
    assert tls_result(target, TLSPolicy("may"), session, broken) == expected
    assert tls_result(attrs.evolve(target, assessment=None), TLSPolicy("may"), session, broken) is None
    assert tls_result(None, TLSPolicy("may"), session, broken) is None
    assert tls_result(target, NO_TLS, session, broken) is None  # clear text after TLS failed is no session of its own
