"""What matches the criteria of a watcher."""

from __future__ import annotations

import pytest

from tests.observe.cases import message
from twistedrelay.observe.wanted import Wanted, fits


@pytest.mark.parametrize(
    ("given", "meets"),
    [
        ({}, True),
        ({"client": "192.168.1.55"}, True),
        ({"client": "192.168.0.0/16"}, True),
        ({"client": "10.0.0.0-10.0.0.9"}, False),
        ({"connector": "default frontend"}, True),
        ({"connector": "EXCSERVER\\Default Frontend"}, True),
        ({"connector": "Client Frontend"}, False),
        ({"session": "0123456789ABCDEF"}, True),
        ({"session": "1"}, False),
        ({"client": "192.168.1.55", "connector": "Other"}, False),
    ],
)
def test_sessions(given: dict[str, str], meets: bool) -> None:
    assert Wanted.of(given).meets("0123456789abcdef", "Default Frontend", "192.168.1.55:4711") is meets


def test_an_ipv6_client_and_one_without_an_address() -> None:
    wanted = Wanted.of({"client": "2001:db8::/32"})
    assert wanted.meets("1", "C", "[2001:db8::1]:25")
    assert not wanted.meets("1", "C", "/run/socket")


def test_a_next_hop_is_no_client() -> None:
    assert not Wanted.of({"client": "192.168.1.55"}).meets("1", "Internet", "192.168.1.55:25", inbound=False)
    assert not Wanted.of({"user": "a@b"}).meets("1", "Internet", "192.168.1.55:25", inbound=False)
    assert Wanted.of({"connector": "Internet"}).meets("1", "Internet", "mx [192.168.1.55]:25", inbound=False)


@pytest.mark.parametrize(
    ("given", "recipients", "connector", "meant"),
    [
        ({}, (), "", True),
        ({"sender": "Cengiz@cozumpark.com"}, (), "", True),
        ({"sender": "cozumpark.com"}, (), "", True),
        ({"sender": "park.com"}, (), "", False),
        ({"recipient": "user@akkaya.local"}, (), "", True),
        ({"recipient": "user@akkaya.local"}, ("other@akkaya.local",), "", False),
        ({"client": "192.168.1.0/24"}, (), "", True),
        ({"client": "192.168.2.0/24"}, (), "", False),
        ({"connector": "Internet"}, (), "Internet", True),
        ({"connector": "Internet"}, (), "", False),
        ({"user": "a@b"}, (), "", False),
        ({"session": "0123456789abcdef"}, (), "", True),
    ],
)
def test_messages(given: dict[str, str], recipients: tuple[str, ...], connector: str, meant: bool) -> None:
    assert Wanted.of(given).is_message(message(), recipients, connector) is meant


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("MAIL FROM:<a@b.example> SIZE=10", "sender"),
        ("mail from:a@b.example", "sender"),
        ("MAIL FROM:<x@b.example>", ""),
        ("RCPT TO:<u@c.example>", "recipient"),
        ("RCPT TO:<u@x.example>", ""),
        ("RCPT TO:", ""),
        ("EHLO a@b.example", ""),
    ],
)
def test_commands(text: str, told: str) -> None:
    assert Wanted(sender="a@b.example", recipient="c.example").told_by(text) == told


@pytest.mark.parametrize("wanted", ["B.example", "@b.example", "*@b.example"])
def test_a_domain_as_tracking_takes_it(wanted: str) -> None:
    assert fits(wanted, "a@b.example")
    assert not fits(wanted, "a@x.b.example")
    assert not fits(wanted, "")


def test_the_null_path() -> None:
    assert fits("<>", "")
    assert not fits("<>", "a@b")
    assert Wanted(sender="<>").told_by("MAIL FROM:<>") == "sender"


def test_what_is_no_range() -> None:
    with pytest.raises(ValueError, match="x"):
        Wanted.of({"client": "x"})
