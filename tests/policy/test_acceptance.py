"""Tests for L{twistedrelay.policy.acceptance}."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.cred.checkers import ANONYMOUS

from twistedrelay.policy.acceptance import Acceptance
from twistedrelay.policy.realm import AvatarId, RelayRealm
from twistedrelay.values import reply
from twistedrelay.values.address import NULL, Address, parse_path
from twistedrelay.values.envelope import NO_MAIL_PARAMETERS, NO_RCPT_PARAMETERS, MailParameters
from twistedrelay.values.reply import Reply

ANONYMOUS_GROUP = ["AnonymousUsers"]
USERS_GROUP = ["ExchangeUsers"]
RELAY = {"extended_rights": {"Anonymous Logon": ["Accept-Any-Recipient"]}}
DOMAINS = {
    "akkaya.local": {"next_hop": "mailbox.akkaya.local:25"},
    "Sub.Akkaya.Local": {"domain_type": "InternalRelay", "next_hop": "mailbox.akkaya.local:25"},
    "*.partner.example": {"domain_type": "ExternalRelay"},
    "*.deep.partner.example": {"next_hop": "mailbox.akkaya.local:25"},
}


class Session:
    """A session on a connector with the given keys."""

    def __init__(self, make_config: Any, make_facts: Any, fake_user: Any = None, **keys: Any) -> None:
        self.config = make_config({"Default Frontend": keys}, accepted_domains=DOMAINS)
        self.facts = make_facts(connector=self.config.receive_connectors["Default Frontend"])
        self.acceptance = Acceptance(self.config)
        avatar_id: Any = ANONYMOUS if fake_user is None else AvatarId(fake_user.address, fake_user)
        self.avatar = RelayRealm(self.config, self.acceptance).session(avatar_id, self.facts)

    def mail(self, sender: str, parameters: MailParameters = NO_MAIL_PARAMETERS) -> Reply:
        return self.acceptance.mail(self.avatar, self.facts, parse_path(sender), parameters)

    def rcpt(self, recipient: str, so_far: int = 0) -> Reply:
        return self.acceptance.rcpt(self.avatar, self.facts, parse_path(recipient), NO_RCPT_PARAMETERS, so_far)


@pytest.fixture
def anonymous(make_config: Any, make_facts: Any) -> Any:
    return lambda **keys: Session(make_config, make_facts, **keys)


@pytest.fixture
def logged_in(make_config: Any, make_facts: Any, make_user: Any) -> Any:
    user = make_user("Cengiz@akkaya.local", ("backup@akkaya.local", "info@partner.example"))
    return lambda **keys: Session(make_config, make_facts, user, **{"permission_groups": USERS_GROUP, **keys})


def test_anonymous_may_claim_any_sender(anonymous: Any) -> None:
    session = anonymous()
    for sender in ("cengiz@cozumpark.com", "boss@akkaya.local", "", "x@[192.0.2.1]"):
        assert session.mail(sender) is reply.SENDER_OK


def test_without_submit_right(anonymous: Any, logged_in: Any) -> None:
    assert anonymous(permission_groups=USERS_GROUP).mail("cengiz@cozumpark.com") is reply.NOT_AUTHENTICATED
    assert anonymous(permission_groups=["None"]).mail("") is reply.NOT_AUTHENTICATED
    assert logged_in(permission_groups=ANONYMOUS_GROUP).mail("cengiz@akkaya.local") is reply.NO_SUBMIT_RIGHT


def test_declared_size(anonymous: Any) -> None:
    session = anonymous(max_message_size=100_000)
    assert session.mail("a@b.example", MailParameters(size=100_000)) is reply.SENDER_OK
    assert session.mail("a@b.example", MailParameters(size=100_001)) is reply.MESSAGE_TOO_LARGE
    assert session.acceptance.size_limit(session.avatar, session.facts.connector) == 100_000
    unbound = anonymous(max_message_size=100_000, extended_rights={"Anonymous Logon": ["Bypass-Message-Size-Limit"]})
    assert unbound.mail("a@b.example", MailParameters(size=10**9)) is reply.SENDER_OK
    assert unbound.acceptance.size_limit(unbound.avatar, unbound.facts.connector) is None


def test_a_login_sends_as_its_own_addresses_only(logged_in: Any) -> None:
    session = logged_in()
    for sender in ("cengiz@akkaya.local", "CENGIZ@Akkaya.LOCAL", "Backup@akkaya.local", "info@partner.example", ""):
        assert session.mail(sender) is reply.SENDER_OK
    for sender in ("boss@akkaya.local", "cengiz@cozumpark.com", "cengiz@sub.akkaya.local", '"cengiz"@akkaya.local'):
        assert session.mail(sender) is reply.SEND_AS_DENIED


def test_a_login_with_accept_any_sender(logged_in: Any) -> None:
    everyone = logged_in(extended_rights={"Authenticated Users": ["Accept-Any-Sender"]})
    assert everyone.mail("boss@akkaya.local") is reply.SENDER_OK
    one = logged_in(extended_rights={"cengiz@akkaya.local": ["Accept-Any-Sender"]})
    assert one.mail("someone@gmail.com") is reply.SENDER_OK
    other = logged_in(extended_rights={"other@akkaya.local": ["Accept-Any-Sender"]})
    assert other.mail("someone@gmail.com") is reply.SEND_AS_DENIED


def test_anonymous_without_the_right_to_our_own_domains(anonymous: Any) -> None:
    session = anonymous(permission_groups=["Custom"], extended_rights={"Anonymous Logon": ["Submit", "Accept-Any-Sender"]})
    assert session.mail("boss@akkaya.local") is reply.SEND_AS_DENIED
    assert session.mail("boss@x.deep.partner.example") is reply.SEND_AS_DENIED
    for sender in ("boss@sub.akkaya.local", "x@y.partner.example", "cengiz@cozumpark.com", ""):
        assert session.mail(sender) is reply.SENDER_OK


def test_a_sender_needs_a_domain(anonymous: Any) -> None:
    session = anonymous()
    assert session.mail("postmaster") is reply.BAD_SENDER
    assert session.acceptance.mail(session.avatar, session.facts, Address("printer", "printer", ""), NO_MAIL_PARAMETERS) is reply.BAD_SENDER


def test_anonymous_reaches_accepted_domains_only(anonymous: Any) -> None:
    session = anonymous()
    for recipient in ("user@akkaya.local", "user@AKKAYA.local", "u@sub.akkaya.local", "u@a.partner.example", "u@a.b.partner.example"):
        assert session.rcpt(recipient) is reply.RECIPIENT_OK
    for recipient in (
        "cengiz@gmail.com",
        "u@partner.example",
        "u@x.akkaya.local",
        "u@xakkaya.local",
        "u@akkaya.local.gmail.com",
        "u@local",
    ):
        assert session.rcpt(recipient) is reply.UNABLE_TO_RELAY
    assert str(session.rcpt("cengiz@gmail.com")) == "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain"


def test_accept_any_recipient_relays(anonymous: Any, logged_in: Any) -> None:
    for session in (anonymous(**RELAY), logged_in()):
        for recipient in ("cengiz@gmail.com", "user%gmail.com@akkaya.local", "u@[192.0.2.1]", "user@akkaya.local"):
            assert session.rcpt(recipient) is reply.RECIPIENT_OK


@pytest.mark.parametrize("recipient", ["postmaster", "POSTMASTER", "postmaster@akkaya.local", "Postmaster@a.partner.example"])
def test_postmaster_is_always_accepted(anonymous: Any, recipient: str) -> None:
    assert anonymous().rcpt(recipient) is reply.RECIPIENT_OK


def test_postmaster_elsewhere_is_relaying(anonymous: Any) -> None:
    assert anonymous().rcpt("postmaster@gmail.com") is reply.UNABLE_TO_RELAY


@pytest.mark.parametrize(
    "recipient",
    [
        "u%gmail.com@akkaya.local",
        "u%gmail.com@[192.168.1.5]",
        "u%gmail.com%x@akkaya.local",
        "gmail.com!u@akkaya.local",
        "gmail.com!u@[192.168.1.5]",
        '"u@gmail.com"@akkaya.local',
        '"u@gmail.com"@[192.168.1.5]',
        '"u%gmail.com"@akkaya.local',
        '"@akkaya.local:u@gmail.com"@akkaya.local',
        '"u:gmail.com"@akkaya.local',
        "u@[192.168.1.5]",
        "u@[IPv6:::ffff:192.0.2.25]",
        "postmaster@[192.168.1.5]",
    ],
)
def test_open_relay_tricks_are_refused(anonymous: Any, recipient: str) -> None:
    assert anonymous().rcpt(recipient) is reply.UNABLE_TO_RELAY


def test_a_recipient_needs_a_domain(anonymous: Any) -> None:
    session = anonymous(**RELAY)
    for recipient in (NULL, Address("gmail.com!u", "gmail.com!u", "")):
        assert session.acceptance.rcpt(session.avatar, session.facts, recipient, NO_RCPT_PARAMETERS, 0) is reply.BAD_RECIPIENT


def test_too_many_recipients(anonymous: Any) -> None:
    session = anonymous(max_recipients_per_message=2)
    assert session.rcpt("user@akkaya.local", 1) is reply.RECIPIENT_OK
    assert session.rcpt("user@akkaya.local", 2) is reply.TOO_MANY_RECIPIENTS
    assert session.rcpt("postmaster", 2) is reply.TOO_MANY_RECIPIENTS


def test_bare_postmaster_is_the_configured_one(make_config: Any) -> None:
    server = {"name": "X", "fqdn": "relay.akkaya.local", "state_directory": "/x", "postmaster": "admin@akkaya.local"}
    acceptance = Acceptance(make_config(server=server))
    assert acceptance.resolve_recipient(parse_path("Postmaster")) == parse_path("admin@akkaya.local")
    other = parse_path("postmaster@sub.akkaya.local")
    assert acceptance.resolve_recipient(other) is other
    assert str(Acceptance(make_config()).resolve_recipient(parse_path("postmaster"))) == "postmaster@relay.akkaya.local"
