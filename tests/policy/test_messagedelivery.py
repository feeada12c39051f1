"""Tests for L{twistedrelay.policy.messagedelivery}, with addresses as Twisted's server makes them."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from twisted.cred.checkers import ANONYMOUS
from twisted.mail._except import SMTPBadRcpt, SMTPBadSender
from twisted.mail.interfaces import IMessageDelivery

from twistedrelay.policy.messagedelivery import RecipientRefused, SenderRefused
from twistedrelay.policy.realm import AvatarId, RelayRealm
from twistedrelay.values import reply

HELO = (b"printer", b"192.168.1.30")


@attrs.frozen
class TheirAddress:
    """C{twisted.mail.smtp.Address}, as far as it matters."""

    local: bytes
    domain: bytes


@attrs.frozen
class TheirUser:
    """C{twisted.mail.smtp.User}, as far as it matters."""

    dest: TheirAddress


def theirs(text: str) -> TheirAddress:
    local, _, domain = text.rpartition("@") if "@" in text else (text, "", "")
    return TheirAddress(local.encode(), domain.encode())


@pytest.fixture
def make_delivery(make_config: Any, make_facts: Any) -> Any:
    def make(avatar_id: Any = ANONYMOUS, factory: Any = lambda session, recipient: (session, recipient), **keys: Any) -> Any:
        realm = RelayRealm(make_config(), message_factory=factory)
        return IMessageDelivery(realm.session(avatar_id, make_facts(**keys)))

    return make


def test_senders(make_delivery: Any) -> None:
    delivery = make_delivery()
    for sender in (theirs("a@b.example"), theirs("")):
        assert delivery.validateFrom(HELO, sender) is sender
    for sender in (theirs("a b@c"), TheirAddress(b"\xff", b"x"), theirs("postmaster")):
        with pytest.raises(SMTPBadSender) as caught:
            delivery.validateFrom(HELO, sender)
        assert caught.value.reply is reply.BAD_SENDER


def test_a_login_sends_as_itself(make_delivery: Any) -> None:
    delivery = make_delivery(AvatarId("user@akkaya.local"), permission_groups=["ExchangeUsers"])
    delivery.validateFrom(HELO, theirs("user@akkaya.local"))
    with pytest.raises(SenderRefused) as caught:
        delivery.validateFrom(HELO, theirs("boss@akkaya.local"))
    assert caught.value.code == 550
    assert str(caught.value).endswith("5.7.60 SMTP; Client does not have permissions to send as this sender")


def test_recipients(make_delivery: Any) -> None:
    delivery = make_delivery(max_recipients_per_message=2)
    delivery.validateFrom(HELO, theirs("a@b.example"))
    session, recipient = delivery.validateTo(TheirUser(theirs("user@akkaya.local")))()
    assert session is delivery.session
    assert str(recipient) == "user@akkaya.local"
    for text, refusal in (("user@gmail.com", reply.UNABLE_TO_RELAY), ("gmail.com!user", reply.BAD_RECIPIENT)):
        with pytest.raises(RecipientRefused) as caught:
            delivery.validateTo(TheirUser(theirs(text)))
        assert caught.value.reply is refusal
    assert str(delivery.validateTo(TheirUser(theirs("postmaster")))()[1]) == "postmaster@relay.akkaya.local"
    with pytest.raises(SMTPBadRcpt, match=r"4\.5\.3"):
        delivery.validateTo(TheirUser(theirs("more@akkaya.local")))
    delivery.validateFrom(HELO, theirs("a@b.example"))
    assert callable(delivery.validateTo(TheirUser(theirs("more@akkaya.local"))))


def test_without_a_receiver_recipients_are_put_off(make_delivery: Any) -> None:
    with pytest.raises(RecipientRefused) as caught:
        make_delivery(factory=None).validateTo(TheirUser(theirs("user@akkaya.local")))
    assert caught.value.code == 451


def test_received_header(make_delivery: Any) -> None:
    header = make_delivery().receivedHeader(HELO, theirs("a@b.example"), [TheirUser(theirs("user@akkaya.local"))])
    assert header.startswith(b"Received: from printer ([192.168.1.30])\r\n by relay.akkaya.local ([192.168.1.5])\r\n with SMTP\r\n id ")
    assert b"for <user@akkaya.local>;" in header
    assert not header.endswith(b"\r\n")
