"""Tests for L{twistedrelay.routing.rewrite}."""

from __future__ import annotations

from typing import Any

import pytest
from zope.interface.verify import verifyObject

from tests.schedule.fakes import message
from twistedrelay.config.schema import AcceptedDomain, Config, SendConnector, Server
from twistedrelay.interfaces import IRewrite
from twistedrelay.routing.rewrite import MAX_NAMED, NOT_ALLOWED, Disguise, Rewrite, rewrite_of
from twistedrelay.values.address import NULL, Address, parse_address
from twistedrelay.values.srs import SRS

CONFIG = Config(
    server=Server(name="S", fqdn="relay.here.example", state_directory="state"),
    accepted_domains={
        "here.example": AcceptedDomain(domain_type="InternalRelay"),
        "*.branch.example": AcceptedDomain(domain_type="InternalRelay"),
    },
)
SECRETS = (b"a secret of sixteen octets",)
HEADER = b"Received: x\r\nFrom: Scanner <SCAN7@Printers.local>\r\nTo: user@there.example\r\n"


def address(text: str) -> Address:
    return parse_address(text, utf8=True)


def made(**keys: Any) -> Rewrite:
    found = rewrite_of(SendConnector(address_spaces=["*"], **keys), CONFIG, SECRETS)
    assert found is not None
    return found


def test_most_connectors_rewrite_nothing() -> None:
    assert rewrite_of(SendConnector(address_spaces=["*"]), CONFIG, SECRETS) is None
    assert rewrite_of(SendConnector(address_spaces=["*"], sender_rewrite_headers_enabled=True), CONFIG) is None


def test_equal_for_equal_configuration() -> None:
    keys: dict[str, Any] = {
        "sender_rewrite": {"*": "a@here.example"},
        "srs_domain": "srs.here.example",
        "allowed_recipients": ["*@x.example"],
    }
    assert made(**keys) == made(**keys)
    assert hash(made(**keys)) == hash(made(**keys))
    assert made(**keys) != made(**{**keys, "allowed_recipients": []})
    assert "secret of" not in repr(made(**keys))
    verifyObject(IRewrite, made(**keys))


@pytest.mark.parametrize(
    ("sender", "expected"),
    [
        ("boss@printers.local", "boss@here.example"),
        ("BOSS@PRINTERS.local", "boss@here.example"),
        ("scan7@printers.local", "scanner@here.example"),
        ("scan7@b.printers.local", "scan7@devices.here.example"),
        ("Jo@old.example", "Jo@New.example"),
        ("jo@sub.old.example", "jo@sub.old.example"),
    ],
)
def test_the_first_rule_that_fits(sender: str, expected: str) -> None:
    rewrite = made(
        sender_rewrite={
            "Boss@printers.local": "boss@here.example",
            "*@printers.local": "scanner@here.example",
            "*@*.printers.local": "*@devices.here.example",
            "*@old.example": "*@New.example",
        }
    )
    assert rewrite.sender(address(sender)).text == expected
    assert not rewrite.changes_content


def test_everybody() -> None:
    rewrite = made(sender_rewrite={"*": "relay@here.example"})
    assert rewrite.sender(address("who@anywhere.example")).text == "relay@here.example"
    assert rewrite.sender(NULL) is NULL


def test_header_fields_follow_where_they_shall() -> None:
    rules = {"*@printers.local": "scanner@here.example"}
    assert made(sender_rewrite=rules).header(HEADER, message(1, "user@there.example")) == HEADER
    rewrite = made(sender_rewrite=rules, sender_rewrite_headers_enabled=True)
    assert rewrite.changes_content
    assert rewrite.header(HEADER, message(1, "user@there.example")) == HEADER.replace(b"SCAN7@Printers.local", b"scanner@here.example")


def test_a_domain_in_a_header_stays_ascii() -> None:
    rewrite = made(sender_rewrite={"*@printers.local": "*@b\u00fccher.example"}, sender_rewrite_headers_enabled=True)
    assert b"<SCAN7@xn--bcher-kva.example>" in rewrite.header(HEADER, message(1, "user@there.example"))


def test_foreign_senders_become_srs_addresses() -> None:
    rewrite = made(
        srs_domain="SRS.here.example", sender_rewrite={"*@printers.local": "scanner@here.example"}, sender_rewrite_headers_enabled=True
    )
    foreign = rewrite.sender(address("user@there.example"))
    assert foreign.domain == "srs.here.example"
    assert foreign.local.startswith("SRS0=")
    for own in ("user@here.example", "user@x.branch.example", "user@srs.here.example"):
        assert rewrite.sender(address(own)).text == own
    assert rewrite.sender(address("x@printers.local")).text == "scanner@here.example"
    assert rewrite.sender(NULL) is NULL
    header = b"From: user@there.example\r\n"
    assert rewrite.header(header, message(1, "user@there.example")) == header
    assert rewrite_of(SendConnector(address_spaces=["*"], srs_domain="srs.here.example"), CONFIG) is None


def test_what_another_send_connector_made_is_ours() -> None:
    """Nested in a second one of ours it would come back to an address that leads to ourselves."""
    other = SendConnector(address_spaces=["*"], srs_domain="SRS2.here.example")
    rewrite = rewrite_of(
        other,
        CONFIG.model_copy(
            update={"send_connectors": {"A": SendConnector(address_spaces=["*"], srs_domain="srs.here.example"), "B": other}}
        ),
        SECRETS,
    )
    assert rewrite is not None
    assert rewrite.sender(address("SRS0=AAAAAAAA=AA=x.example=u@srs.here.example")).domain == "srs.here.example"


def test_srs_goes_by_the_clock() -> None:
    keys = SRS(SECRETS)
    disguise = Disguise("srs.here.example", keys, frozenset(), clock=lambda: 1e9)
    assert keys.decode(disguise.put_on(address("user@there.example")), 1e9).text == "user@there.example"
    rewrite = rewrite_of(SendConnector(address_spaces=["*"], srs_domain="srs.here.example"), CONFIG, SECRETS, lambda: 1e9)
    assert rewrite is not None
    assert keys.decode(rewrite.sender(address("user@there.example")), 1e9).text == "user@there.example"


def test_everything_goes_to_one_address() -> None:
    rewrite = made(redirect_all_to="test@here.example", allowed_recipients=["boss@there.example", "*@qa.example"])
    for left in ("BOSS@there.example", "any@qa.example"):
        assert rewrite.recipient(address(left)) == address(left)
    for taken in ("user@there.example", "any@sub.qa.example", "test@here.example"):
        assert rewrite.recipient(address(taken)) == address("test@here.example")


def test_only_those_that_are_allowed() -> None:
    rewrite = made(allowed_recipients=["*@qa.example"])
    assert rewrite.recipient(address("a@qa.example")) == address("a@qa.example")
    assert rewrite.recipient(address("a@there.example")) is NOT_ALLOWED
    assert not rewrite.changes_content
    assert made(srs_domain="srs.here.example").recipient(address("a@there.example")) == address("a@there.example")


def test_the_redirected_mail_says_for_whom_it_was() -> None:
    rewrite = made(redirect_all_to="test@here.example", allowed_recipients=["boss@there.example"])
    assert rewrite.changes_content
    field = b"X-TwistedRelay-Original-Recipient: a@there.example,\r\n g\\x{FC}n@there.example\r\n"
    assert rewrite.header(HEADER, message(1, "a@there.example", "gün@there.example")) == HEADER + field
    assert rewrite.header(HEADER + b"\r\n", message(1, "a@there.example", "gün@there.example")) == HEADER + field + b"\r\n"
    assert rewrite.header(b"From: x@y", message(1, "a@there.example")) == (
        b"From: x@y\r\nX-TwistedRelay-Original-Recipient: a@there.example\r\n"
    )
    assert rewrite.header(b"\r\n", message(1, "a@there.example")) == b"X-TwistedRelay-Original-Recipient: a@there.example\r\n\r\n"
    many = rewrite.header(HEADER, message(1, *[f"u{number}@there.example" for number in range(MAX_NAMED + 7)]))
    assert many.endswith(b" (and 7 more)\r\n")


def test_nobody_learns_of_blind_copies() -> None:
    rewrite = made(redirect_all_to="test@here.example", allowed_recipients=["boss@there.example"])
    assert rewrite.header(HEADER, message(1, "a@there.example", "boss@there.example")) == HEADER
