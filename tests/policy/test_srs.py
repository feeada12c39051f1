"""Tests for L{twistedrelay.policy.srs}, and for what L{twistedrelay.policy.acceptance} makes of it."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.cred.checkers import ANONYMOUS

from twistedrelay.policy.acceptance import Acceptance
from twistedrelay.policy.realm import RelayRealm
from twistedrelay.policy.srs import ReturnPaths
from twistedrelay.values import reply
from twistedrelay.values.address import parse_address, parse_path
from twistedrelay.values.envelope import NO_RCPT_PARAMETERS
from twistedrelay.values.reply import Reply
from twistedrelay.values.srs import SRS

NOW = 1.8e9
SECRETS = (b"a secret of sixteen octets",)
OUTSIDE = parse_address("user@there.example")


class Session:
    def __init__(self, make_config: Any, make_facts: Any, srs_domain: str = "SRS.akkaya.local", **keys: Any) -> None:
        config = make_config(
            {"Default Frontend": keys},
            send_connectors={"Internet": {"address_spaces": ["*"], "srs_domain": srs_domain}, "No": {"address_spaces": ["*;2"]}},
        )
        self.facts = make_facts(connector=config.receive_connectors["Default Frontend"])
        self.now = NOW
        self.acceptance = Acceptance(config, ReturnPaths(config, SECRETS, lambda: self.now))
        self.avatar = RelayRealm(config, self.acceptance).session(ANONYMOUS, self.facts)

    def rcpt(self, recipient: str) -> Reply:
        return self.acceptance.rcpt(self.avatar, self.facts, parse_path(recipient), NO_RCPT_PARAMETERS, 0)

    def resolved(self, recipient: str) -> str:
        return self.acceptance.resolve_recipient(parse_path(recipient)).text


@pytest.fixture
def session(make_config: Any, make_facts: Any) -> Session:
    return Session(make_config, make_facts)


@pytest.fixture
def ours() -> str:
    return SRS(SECRETS).encode(OUTSIDE, "srs.akkaya.local", NOW).text


def test_a_bounce_comes_back(session: Session, ours: str) -> None:
    assert session.rcpt(ours) is reply.RECIPIENT_OK
    assert session.resolved(ours) == "user@there.example"
    assert session.rcpt(ours.lower()) is reply.RECIPIENT_OK
    assert session.resolved(ours.upper()) == "USER@THERE.EXAMPLE"


def test_no_other_recipient_gets_through_by_it(session: Session, ours: str) -> None:
    """The open relay that SRS must not be."""
    for forged in (ours.replace("user", "other"), ours.replace("there", "here"), "SRS0=AAAAAAAA=AA=x.example=u@srs.akkaya.local"):
        assert session.rcpt(forged) is reply.BAD_RETURN_PATH
        assert session.resolved(forged) == forged
    assert session.rcpt("SRS1=AAAAAAAA=x.example==u@srs.akkaya.local") is reply.BAD_RETURN_PATH
    elsewhere = ours.replace("srs.akkaya.local", "elsewhere.example")
    assert session.rcpt(elsewhere) is reply.UNABLE_TO_RELAY
    assert session.resolved(elsewhere) == elsewhere
    assert session.rcpt("user@srs.akkaya.local") is reply.UNABLE_TO_RELAY
    assert session.rcpt("user%there.example@srs.akkaya.local") is reply.UNABLE_TO_RELAY


def test_too_old(session: Session, ours: str) -> None:
    session.now += 23 * 86400
    assert session.rcpt(ours) is reply.BAD_RETURN_PATH


def test_in_a_domain_of_mailboxes(make_config: Any, make_facts: Any) -> None:
    session = Session(make_config, make_facts, srs_domain="akkaya.local")
    ours = SRS(SECRETS).encode(OUTSIDE, "akkaya.local", NOW).text
    assert session.rcpt(ours) is reply.RECIPIENT_OK
    assert session.resolved(ours) == "user@there.example"
    assert session.rcpt("user@akkaya.local") is reply.RECIPIENT_OK
    assert session.resolved("user@akkaya.local") == "user@akkaya.local"
    assert session.rcpt(ours.replace("user", "other")) is reply.BAD_RETURN_PATH


def test_who_may_relay_may_not_forge_either(make_config: Any, make_facts: Any) -> None:
    session = Session(make_config, make_facts, extended_rights={"Anonymous Logon": ["Accept-Any-Recipient"]})
    assert session.rcpt("SRS0=AAAAAAAA=AA=x.example=u@srs.akkaya.local") is reply.BAD_RETURN_PATH
    assert session.rcpt("SRS0=AAAAAAAA=AA=x.example=u@elsewhere.example") is reply.RECIPIENT_OK


def test_without_secrets_nothing_is_srs(make_config: Any) -> None:
    config = make_config(send_connectors={"Internet": {"address_spaces": ["*"], "srs_domain": "srs.akkaya.local"}})
    assert ReturnPaths(config).domains == frozenset()


def test_the_domain_has_a_postmaster(session: Session, make_config: Any, make_facts: Any) -> None:
    assert session.rcpt("PostMaster@srs.akkaya.local") is reply.RECIPIENT_OK
    assert session.resolved("PostMaster@srs.akkaya.local") == session.resolved("postmaster")
    with_mailboxes = Session(make_config, make_facts, srs_domain="akkaya.local")
    assert with_mailboxes.resolved("postmaster@akkaya.local") == "postmaster@akkaya.local"
