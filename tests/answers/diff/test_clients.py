"""Recorded clients, played again under two configurations."""

from __future__ import annotations

from typing import Any

import pytest

from tests.net.relay import NOON, FakeUsers, configuration
from twistedrelay.answers.diff.clients import Theatre, client_changes
from twistedrelay.answers.diff.compare import compare
from twistedrelay.answers.diff.document import ClientChange
from twistedrelay.config.schema import Config
from twistedrelay.config.users import User
from twistedrelay.values.usage import Usage

ACCOUNT = User(FakeUsers.address, ("sales@akkaya.local",))


def find(name: str) -> User | None:
    """One account."""
    return ACCOUNT if name.lower() == FakeUsers.address else None


def row(**given: Any) -> Usage:
    """A record of a device that mails somebody of ours."""
    usual: dict[str, Any] = {
        "connector": "Default Frontend",
        "local": "192.168.1.5:25",
        "client": "10.0.0.9",
        "helo": "printer.client.example",
        "sender_domain": "client.example",
        "first_seen": NOON - 100,
        "last_seen": NOON - 10,
        "sessions": 3,
        "messages": 7,
        "recipient_domains": ("akkaya.local",),
    }
    return Usage(**{**usual, **given})


def played(old: Config, new: Config, *rows: Usage) -> list[ClientChange | None]:
    """What changes for each."""
    theatres = (Theatre(config, NOON, (find, False)) for config in (old, new))
    return list(client_changes(*theatres, rows))


def only(old: Config, new: Config, one: Usage) -> ClientChange:
    """The change for one."""
    [change] = played(old, new, one)
    assert change is not None
    return change


RELAYING = {"extended_rights": {"Anonymous Logon": ["Accept-Any-Recipient"]}}


def test_nothing_changes_for_equal_rules() -> None:
    new = configuration({"Default Frontend": {"max_hop_count": 9}})
    assert played(configuration(), new, row(), row(client="fe80::1"), row(sender_domain="")) == [None, None, None]


def test_a_range_that_is_taken_away() -> None:
    old = configuration({"Default Frontend": {}, "IP_Relay": {"remote_ip_ranges": ["10.0.0.9"], **RELAYING}})
    change = only(old, configuration(), row(connector="IP_Relay", recipient_domains=("akkaya.local", "gmail.com")))
    assert change.effect == "refused"
    assert (change.old_connector, change.new_connector) == ("IP_Relay", "Default Frontend")
    assert change.what == [
        "another receive connector: Default Frontend instead of IP_Relay",
        "recipients in gmail.com refused: 550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain",
        "without the rights SMTPAcceptAnyRecipient",
    ]
    back = only(configuration(), old, row(recipient_domains=("akkaya.local", "gmail.com")))
    assert back.effect == "accepted"
    assert "recipients in gmail.com no longer refused" in back.what
    assert "with the rights SMTPAcceptAnyRecipient" in back.what


def test_who_only_mails_us_is_only_told_of_the_other_connector() -> None:
    old = configuration({"Default Frontend": {}, "IP_Relay": {"remote_ip_ranges": ["10.0.0.9"], **RELAYING}})
    assert only(old, configuration(), row()).effect == "changed"


def test_nobody_takes_the_client_any_more() -> None:
    change = only(configuration(), configuration({"Default Frontend": {"remote_ip_ranges": ["192.168.0.0/16"]}}), row())
    assert change.effect == "refused"
    assert change.what[0].startswith("refused: (connect): 421 4.3.2")


def test_the_port_is_closed() -> None:
    change = only(configuration(), configuration({"Default Frontend": {"bindings": ["0.0.0.0:26"]}}), row())
    assert change.effect == "refused"
    assert "Nobody listens on port 25" in change.what[0]


BALANCED = {"bindings": ["192.168.1.5:2525"], "proxy_protocol_from": ["192.168.1.9"]}


def test_clients_behind_a_load_balancer_are_found_by_their_connector() -> None:
    """Their records have the balancer's address and port, where nobody of ours listens."""
    old = configuration(
        {"Default Frontend": BALANCED, "IP_Relay": {**BALANCED, "remote_ip_ranges": ["10.0.0.9", "2001:db8::9"], **RELAYING}}
    )
    new = configuration({"Default Frontend": BALANCED})
    clients = [
        row(client=client, local=local, connector="IP_Relay", recipient_domains=("gmail.com",))
        for client, local in (("10.0.0.9", "203.0.113.1:25"), ("2001:db8::9", "[2001:db8::1]:25"))
    ]
    assert played(old, old, *clients) == [None, None]
    for change in played(old, new, *clients):
        assert change is not None
        assert (change.effect, change.old_connector, change.new_connector) == ("refused", "IP_Relay", "Default Frontend")


def test_a_load_balancer_that_may_not_speak_for_clients_any_more() -> None:
    client = row(local="203.0.113.1:25")
    old = configuration({"Default Frontend": BALANCED})
    for new, told in (
        ({**BALANCED, "proxy_protocol_from": []}, "No load balancer may speak for it on 192.168.1.5:2525 (proxy_protocol_from)."),
        ({**BALANCED, "bindings": ["192.168.1.5:2526"]}, "Nobody listens on 192.168.1.5:2525, where a load balancer speaks for it."),
    ):
        assert only(old, configuration({"Default Frontend": new}), client).what[0] == f"refused: {told}"


@pytest.mark.parametrize(("version", "effect"), [("TLSv1.2", "refused"), ("TLSv1.3", None), ("", None)])
def test_a_higher_minimum_of_tls(version: str, effect: str | None) -> None:
    new = configuration({"Default Frontend": {"tls_minimum_version": "TLSv1.3"}})
    [change] = played(configuration(), new, row(tls=version))
    assert (None if change is None else change.effect) == effect
    if change is not None:
        assert change.what == ["refused: (TLS handshake): the connection is closed (unsupported protocol (tls_minimum_version))"]


def test_tls_becomes_a_must() -> None:
    new = configuration({"Default Frontend": {"require_tls": True}})
    in_clear, in_tls = played(configuration(), new, row(), row(tls="TLSv1.2"))
    assert in_clear is not None
    assert in_clear.what == ["refused: MAIL FROM: 530 5.7.0 Must issue a STARTTLS command first (require_tls)"]
    assert in_tls is None


def test_a_login_in_clear_text_is_forbidden() -> None:
    new = configuration({"Default Frontend": {"auth_mechanism": ["Tls", "BasicAuth", "BasicAuthRequireTLS"]}})
    with_login = row(user=FakeUsers.address, sender_domain="akkaya.local", recipient_domains=("gmail.com",))
    change = only(configuration(), new, with_login)
    assert change.effect == "refused"
    assert change.what[0].startswith("refused: AUTH PLAIN (as cengiz@akkaya.local): 538")


def test_logins_become_impossible_without_the_account() -> None:
    old, new = configuration(), configuration()
    theatres = Theatre(old, NOON, (find, False)), Theatre(new, NOON, (lambda name: None, False))
    one = row(user=FakeUsers.address, sender_domain="akkaya.local")
    [change] = client_changes(*theatres, [one])
    assert change is not None
    assert change.what[0].startswith("refused: AUTH PLAIN")
    assert "the users file has no such user" in change.what[0]


def test_a_login_sends_as_one_of_its_own_addresses() -> None:
    """Where the record says only the domain, an address of the login is taken."""
    one = row(user=FakeUsers.address, sender_domain="akkaya.local", recipient_domains=("gmail.com",))
    assert played(configuration(), configuration(), one) == [None]
    theatre = Theatre(configuration(), NOON, (find, False))
    assert theatre.verdict(one, "cengiz@akkaya.local").refusal == ""
    assert theatre.verdict(one, "boss@akkaya.local").refusal.startswith("MAIL FROM: 550 5.7.60")


def test_reports_have_the_null_path() -> None:
    new = configuration({"Default Frontend": {"permission_groups": ["ExchangeUsers"]}})
    with_mail, without = played(configuration(), new, row(sender_domain=""), row(sender_domain="", messages=0))
    assert with_mail is not None
    assert with_mail.effect == "refused"
    assert without is not None
    assert without.effect == "changed", "it never sent anything"


def test_a_name_in_helo_is_demanded() -> None:
    new = configuration({"Default Frontend": {"require_ehlo_domain": True}})
    nameless, named = played(configuration(), new, row(helo=""), row())
    assert nameless is not None
    assert "require_ehlo_domain" in nameless.what[0]
    assert named is None


def test_records_that_make_no_sense_are_passed_over() -> None:
    new = configuration({"Default Frontend": {"require_tls": True}})
    assert played(configuration(), new, row(client="nonsense"), row(helo="\x00 x")) == [None, None]


def test_equal_clients_are_played_once() -> None:
    theatre = Theatre(configuration(), NOON, (find, False))
    first = theatre.verdict(row(), "a@client.example")
    assert all(theatre.verdict(row(client=f"10.0.{n}.9", helo=f"host{n}.example.com"), "a@client.example") is first for n in range(50))


def test_more_recipients_than_one_message_may_have() -> None:
    """A record adds up many messages: the limit for one of them says nothing."""
    new = configuration({"Default Frontend": {"max_recipients_per_message": 1}})
    assert played(configuration(), new, row(recipient_domains=("akkaya.local", "akkaya.local"))) == [None]


def test_the_whole_difference() -> None:
    new = configuration({"Default Frontend": {"require_tls": True}})
    found = compare(configuration(), new, [row(), row(client="10.0.0.8", tls="TLSv1.3")], NOON, ("old", "new"))
    assert found.refused
    assert [change.client for change in found.clients] == ["10.0.0.9"]
    assert found.sessions_looked_at == 2
    assert [change.parameter for change in found.changes] == ["require_tls"]
    assert not compare(configuration(), configuration(), [row()], NOON, ("old", "new")).refused


def test_where_time_is_short_the_latest_are_looked_at() -> None:
    new = configuration({"Default Frontend": {"permission_groups": ["None"]}})
    rows = [row(client=f"10.0.0.{number}", last_seen=NOON - number) for number in range(1, 6)]
    patience = iter([True, True, False])
    found = compare(configuration(), new, rows, NOON, ("old", "new"), patient=lambda: next(patience))
    assert [change.client for change in found.clients] == ["10.0.0.1", "10.0.0.2"]
    assert found.sessions_looked_at == 2
    assert found.notes == ["Only the latest 2 of 5 recorded clients were looked at."]


def test_a_session_that_the_relay_ended_is_over() -> None:
    """What it held is free for the next one."""
    rules = configuration({"Default Frontend": {"auth_mechanism": ["Tls"], "max_protocol_errors": 0, "max_inbound_connection": 1}})
    theatre = Theatre(rules, NOON, (find, False))
    guesses = [row(client=client, user="nobody@akkaya.local") for client in ("10.0.0.9", "10.0.0.10")]
    verdicts = [theatre.verdict(guess, sender) for sender, guess in zip(("a@client.example", "b@client.example"), guesses, strict=True)]
    assert verdicts[0] == verdicts[1]
    assert "max_protocol_errors" in verdicts[0].refusal
