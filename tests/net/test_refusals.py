"""Refusals: tarpits, the limits on errors, logins and rates."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail

from tests.net.relay import FakeUsers, Relay
from twistedrelay.policy.threads import LoginUnavailable
from twistedrelay.values import events


def relay_with(**keys: Any) -> Relay:
    return Relay({"Default Frontend": keys})


def test_a_tarpit_delays_refusals_and_nothing_else() -> None:
    relay = relay_with(tarpit_interval="5s")
    client = relay.connect()
    client.send(b"EHLO x.example\r\nMAIL FROM:<a@b.example>\r\nNOOP\r\nRCPT TO:<cengiz@gmail.com>\r\nRCPT TO:<user@akkaya.local>\r\n")
    assert client.codes() == [220, 250, 250, 250]
    relay.clock.advance(4.9)
    assert client.codes() == []
    relay.clock.advance(0.2)
    assert client.codes() == [550, 250], "what came behind it waited, in order"


def test_a_tarpit_holds_no_other_session() -> None:
    relay = relay_with(tarpit_interval="5s")
    first, second = relay.connect(), relay.connect()
    assert first.command("HURRAH").startswith("220")
    assert second.command("NOOP").endswith("250 2.0.0 OK\r\n")
    assert first.said() == ""


def test_a_session_with_a_login_is_not_delayed() -> None:
    relay = relay_with(tarpit_interval="5s")
    client = relay.connect()
    client.command("EHLO x.example")
    assert client.login() == "235 2.7.0 Authentication successful\r\n"
    assert client.command("HURRAH") == "500 5.3.3 Unrecognized command\r\n"


def test_who_leaves_a_tarpit_leaves_nothing_behind() -> None:
    relay = relay_with(tarpit_interval="5s")
    client = relay.connect()
    client.command("HURRAH")
    client.transport.close()
    assert relay.clock.getDelayedCalls() == []
    relay.clock.advance(10)


@pytest.mark.parametrize("wrong", ["HURRAH", "MAIL FROM:<a b c", "RCPT TO:<a@b.example>", "AUTH SOMETHING"])
def test_the_last_of_too_many_protocol_errors_is_421(wrong: str) -> None:
    relay = relay_with(max_protocol_errors=3)
    client = relay.connect()
    client.command("EHLO x.example")
    replies = [client.command(wrong) for _ in range(3)]
    assert [reply[:3] in {"500", "501", "503", "504"} for reply in replies] == [True, True, False]
    assert replies[-1] == "421 4.7.0 Too many errors on this connection (max_protocol_errors), closing transmission channel\r\n"
    assert client.is_closing
    client.transport.close()
    assert relay.events.of(events.CommandRefused)[-1].reason == "max_protocol_errors"
    assert relay.events.of(events.Disconnected)[0].reason == "max_protocol_errors"


def test_a_relay_denial_is_no_protocol_error() -> None:
    relay = relay_with(max_protocol_errors=2)
    client = relay.connect()
    client.send(b"EHLO x.example\r\nMAIL FROM:<a@b.example>\r\n" + b"RCPT TO:<cengiz@gmail.com>\r\n" * 20 + b"EXPN x\r\n" * 5 + b"NOOP\r\n")
    assert client.codes() == [220, 250, 250, *[550] * 20, *[502] * 5, 250]


def test_a_refusal_is_told_to_the_log() -> None:
    relay = Relay()
    client = relay.connect()
    client.send(b"EHLO x.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<cengiz@gmail.com>\r\n")
    [refused] = relay.events.of(events.CommandRefused)
    assert (refused.command, refused.reply.status) == ("RCPT TO:<cengiz@gmail.com>", "5.7.54")


def test_a_wrong_password_waits_and_the_last_one_ends_the_session() -> None:
    relay = relay_with(auth_tarpit_interval="5s", max_logon_failures=2)
    client = relay.connect()
    client.command("EHLO x.example")
    assert client.login("guess") == ""
    relay.clock.advance(5)
    assert client.said() == "535 5.7.3 Authentication unsuccessful\r\n"
    assert client.login("guess again") == ""
    relay.clock.advance(5)
    assert client.said().startswith("421 4.7.0 ")
    assert client.is_closing
    client.transport.close()
    assert relay.events.of(events.Disconnected)[0].reason == "max_logon_failures"
    failed = relay.events.of(events.LoginFailed)
    assert [(event.mechanism, event.user) for event in failed] == [("PLAIN", FakeUsers.address)] * 2
    assert not any("guess" in str(event) for event in relay.events)


def test_no_limit_on_logon_failures() -> None:
    relay = relay_with(max_logon_failures=0)
    client = relay.connect()
    client.command("EHLO x.example")
    assert {client.login("wrong")[:3] for _ in range(9)} == {"535"}
    assert client.login()[:3] == "235"


def test_a_login_replaces_rights() -> None:
    relay = Relay()
    client = relay.connect()
    client.command("EHLO x.example")
    client.login()
    assert [event.principal for event in relay.events.of(events.PermissionsSet)] == ["Anonymous Logon", FakeUsers.address]
    assert relay.events.of(events.LoggedIn)[0].user == FakeUsers.address
    client.send(f"MAIL FROM:<a@client.example>\r\nMAIL FROM:<{FakeUsers.address}>\r\nRCPT TO:<cengiz@gmail.com>\r\n".encode())
    assert client.codes() == [550, 250, 250]


def test_nobody_can_tell_now() -> None:
    relay = Relay()
    relay.users.answer = lambda: fail(LoginUnavailable("the pool is full"))
    client = relay.connect()
    client.command("EHLO x.example")
    assert client.login() == "454 4.7.0 Temporary authentication failure\r\n"
    assert not client.is_closing
    relay.users.answer = None
    assert client.login()[:3] == "235"


def test_to_act_as_somebody_else_is_refused() -> None:
    relay = Relay()
    client = relay.connect()
    client.command("EHLO x.example")
    assert client.command("AUTH PLAIN AGEAYgBj")[:3] == "501"
    assert client.command("AUTH PLAIN Ym9zcwBhAGI=") == "535 5.7.3 Authentication unsuccessful\r\n"


def test_a_client_leaves_while_its_password_is_checked() -> None:
    relay = Relay()
    answer: Deferred[Any] = Deferred()
    relay.users.answer = lambda: answer
    client = relay.connect()
    client.command("EHLO x.example")
    assert client.login() == ""
    client.transport.close()
    answer.callback(relay.users)
    assert not relay.events.of(events.LoggedIn)


def test_the_message_rate() -> None:
    relay = relay_with(message_rate_limit=2)
    client = relay.connect()
    client.send(b"EHLO x.example\r\n" + b"MAIL FROM:<a@b.example>\r\nRSET\r\n" * 2)
    assert client.codes() == [220, *[250] * 5]
    assert client.command("MAIL FROM:<a@b.example>") == (
        "421 4.4.2 Message submission rate for this client has exceeded the configured limit\r\n"
    )
    assert client.is_closing
    assert relay.events.of(events.CommandRefused)[0].reason == "message_rate_limit"
    relay.pass_time(61)
    assert relay.connect().command("EHLO x.example\r\nMAIL FROM:<a@b.example>").endswith("250 2.1.0 Sender OK\r\n")


def test_a_sick_spool_takes_no_mail_and_counts_none() -> None:
    relay = relay_with(message_rate_limit=1)
    client = relay.connect()
    client.command("EHLO x.example")
    relay.spool.healthy = False
    assert client.command("MAIL FROM:<a@b.example>") == "452 4.3.1 Insufficient system resources\r\n"
    relay.spool.healthy = True
    assert client.command("MAIL FROM:<a@b.example>")[:3] == "250"


def test_commands_behind_421_are_not_looked_at() -> None:
    relay = relay_with(max_protocol_errors=1)
    client = relay.connect()
    client.send(b"HURRAH\r\nEHLO x\r\nMAIL FROM:<a@b.example>\r\n")
    assert client.codes() == [220, 421]
    client.send(b"NOOP\r\n")
    assert client.codes() == []
