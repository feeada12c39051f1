"""Tests for L{twistedrelay.observe.webhooks.sink}, C{telling} and C{signing}: who hears of what, and in which form."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from twistedrelay.observe.webhooks import telling
from twistedrelay.observe.webhooks.signing import headers, key_of
from twistedrelay.observe.webhooks.sink import Webhooks
from twistedrelay.values import events
from twistedrelay.values.address import parse_address
from twistedrelay.values.envelope import Message, Origin, Outcome, OutcomeKind, Recipient
from twistedrelay.values.hooks import HOOK_EVENTS
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Route

NOON = 1_790_000_000.0
INTERNET = Route("Internet", "x.example", "DnsConnectorDelivery")


@attrs.frozen
class Settings:
    secret_file: str
    events: list[str]
    name: str = "Desk"
    url: str = "https://desk.example/events"
    connectors: list[str] = attrs.Factory(list)
    ca_file: str = ""
    enabled: bool = True


class Content:
    size = 512


class World:
    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self.secret = directory / "secret"
        self.secret.write_text("a-secret-of-more-than-24-octets\n")
        self.posted: list[dict[str, Any]] = []
        self.urls: list[str] = []
        self.status = 200
        self.told: list[events.ServiceEvent] = []
        self.hooks = Webhooks("EXCSERVER", self.clock, self.poster, self.told.append, lambda: NOON)

    def poster(self, url: str, ca_file: str) -> Any:
        if ca_file:
            raise ValueError(f"there is no certificate in {ca_file}")

        def post(body: bytes, fields: dict[str, str]) -> Deferred[tuple[int, float, str]]:
            self.posted.append(json.loads(body))
            self.urls.append(url)
            return succeed((self.status, 0.0, ""))

        return post

    def settings(self, *names: str, **more: Any) -> Settings:
        return Settings(str(self.secret), list(names), **more)

    def emit(self, event: events.Event) -> None:
        self.hooks.emit(event)
        for _ in range(5):
            self.clock.advance(0)

    def types(self) -> list[str]:
        return [each["type"] for each in self.posted]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def message(connector: str = "IP_Relay", recipients: int = 2) -> Message:
    given = [Recipient(index, parse_address(f"u{index}@x.example")) for index in range(recipients)]
    origin = Origin("SMTP", connector, "192.0.2.55", "printer", "eren@a.example", "0123456789ABCDEF")
    return Message(7, parse_address("a@akkaya.local"), given, "<1@x>", NOON, Content(), origin=origin)  # type: ignore[arg-type]


def sent(kind: OutcomeKind, route: Route = INTERNET) -> events.Send:
    one = message()
    return events.Send(one, Outcome(one.recipients[0], kind, Reply(451, "4.4.0", "later"), "mx [198.51.100.9]:25"), "x.example", route)


def test_the_form_of_an_event(world: World) -> None:
    world.hooks.change([world.settings("RECEIVE")])
    world.emit(events.Receive(message()))
    [document] = world.posted
    assert set(document) == {"id", "time", "type", "server", "data"}
    assert (document["time"], document["type"], document["server"]) == ("2026-09-21T14:13:20.000Z", "RECEIVE", "EXCSERVER")
    assert document["id"].startswith("evt_")
    assert document["data"] == {
        "internal_message_id": 7,
        "message_id": "<1@x>",
        "sender": "a@akkaya.local",
        "recipients": ["u0@x.example", "u1@x.example"],
        "recipient_count": 2,
        "size": 512,
        "source": "SMTP",
        "connector": "IP_Relay",
        "client": "192.0.2.55",
        "helo": "printer",
        "user": "eren@a.example",
        "session": "0123456789ABCDEF",
    }


def test_recipients_are_bounded(world: World) -> None:
    world.hooks.change([world.settings("RECEIVE")])
    world.emit(events.Receive(message(recipients=telling.MOST_RECIPIENTS + 5)))
    data = world.posted[0]["data"]
    assert (len(data["recipients"]), data["recipient_count"]) == (telling.MOST_RECIPIENTS, telling.MOST_RECIPIENTS + 5)


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (sent(OutcomeKind.DELIVERED), "SEND"),
        (sent(OutcomeKind.DELIVERED, attrs.evolve(INTERNET, kind="maildir")), "DELIVER"),
        (sent(OutcomeKind.DEFERRED), "DEFER"),
        (sent(OutcomeKind.FAILED), "FAIL"),
        (events.ReportSent(message(), message(), "failed"), "DSN"),
        (events.Resubmitted(message(), 3), "RESUBMIT"),
        (events.Poisoned(message(), 4), "POISONMESSAGE"),
        (events.Dropped(message(), "a report"), "DROP"),
        (events.Removed(message(), True, message().recipients), "REMOVE"),
        (events.ConnectionRefused("1", "IP_Relay", "192.0.2.1:5", "limit", Reply(421, "4.3.2", "no")), "connection_refused"),
        (events.CommandRefused("1", "IP_Relay", "192.0.2.1:5", "DATA", Reply(550, "5.7.1", "no"), ""), "command_refused"),
        (events.LoggedIn("1", "IP_Relay", "192.0.2.1:5", "PLAIN", "eren"), "logged_in"),
        (events.LoginFailed("1", "IP_Relay", "192.0.2.1:5", "PLAIN", "eren", "wrong"), "login_failed"),
        (events.LogonLocked("1", "IP_Relay", "192.0.2.1:5", "eren", "192.0.2.0/24", "limit", 30.0), "logon_locked"),
        (events.Disconnected("1", "IP_Relay", "192.0.2.1:5", "QUIT", 1, 2.0), "session_ended"),
        (events.TLSFailed("1", "IP_Relay", "192.0.2.1:5", "no shared cipher"), "tls_failed"),
        (events.ServiceEvent("warn", "x", "back_pressure"), "back_pressure"),
        (events.ServiceEvent("warn", "x"), "service_warning"),
        (events.ServiceEvent("error", "x"), "service_error"),
    ],
)
def test_each_event_has_its_name(world: World, event: events.Event, name: str) -> None:
    assert name in HOOK_EVENTS
    world.hooks.change([world.settings(name)])
    world.emit(event)
    assert world.types() == [name]
    world.hooks.change([world.settings(*(other for other in HOOK_EVENTS if other not in (name, "service_warning")), name="Others")])
    world.posted.clear()
    world.emit(event)
    assert world.types() == []


def test_a_connector_alone(world: World) -> None:
    world.hooks.change([world.settings("RECEIVE", "service_info", connectors=["IP_Relay"])])
    world.emit(events.Receive(message("Default Frontend")))
    world.emit(events.Receive(message("IP_Relay")))
    world.emit(events.ServiceEvent("info", "x"))
    assert world.types() == ["RECEIVE", "service_info"]


def test_webhooks_that_stay_keep_what_waits(world: World) -> None:
    first, other = world.settings("started"), world.settings("started", name="Other")
    world.hooks.change([first, other])
    kept = world.hooks.states()[0][1]
    assert kept is not None
    world.secret.write_text("another-secret-of-more-than-24-octets")
    world.hooks.change([first])
    assert world.hooks.states()[0][1] is kept
    assert kept._key == b"another-secret-of-more-than-24-octets"


def test_a_test_names_one_in_any_letter_case(world: World) -> None:
    world.hooks.change([world.settings("started")])
    assert world.hooks.test("DESK") is not None
    assert world.hooks.test("Des") is None


def test_what_waits_goes_on_after_a_change_and_at_once(world: World) -> None:
    desk = world.settings("started")
    world.hooks.change([desk])
    world.status = 503
    world.emit(events.ServiceEvent("info", "x", "started"))
    world.status = 200
    world.hooks.change([desk])
    world.clock.advance(0)
    assert world.urls == ["https://desk.example/events"], "the server rests"
    world.hooks.change([attrs.evolve(desk, url="https://new.example/", events=["stopping"])])
    world.clock.advance(0)
    assert world.urls == ["https://desk.example/events", "https://new.example/"]
    assert len({each["id"] for each in world.posted}) == 1
    assert [hook.waiting for _, hook, _ in world.hooks.states() if hook is not None] == [0]


def test_who_is_gone_stays_so_until_its_keys_change(world: World) -> None:
    desk = world.settings("started")
    world.hooks.change([desk])
    world.status = 410
    world.emit(events.ServiceEvent("info", "x", "started"))
    world.status = 200
    world.hooks.change([desk])
    world.emit(events.ServiceEvent("info", "x", "started"))
    assert len(world.posted) == 1
    world.hooks.change([attrs.evolve(desk, url="https://new.example/")])
    world.emit(events.ServiceEvent("info", "x", "started"))
    assert len(world.posted) == 2


@pytest.mark.parametrize("content", ["short", "whsec_!!!!"])
def test_a_webhook_without_a_good_key_is_off_and_told(world: World, content: str) -> None:
    world.secret.write_text(content)
    world.hooks.change([world.settings("started")])
    [(_, hook, reason)] = world.hooks.states()
    assert hook is None
    assert reason
    assert [event.level for event in world.told] == ["error"]
    assert content not in world.told[0].text


def test_a_file_that_cannot_be_read_and_authorities_that_are_none(world: World) -> None:
    world.hooks.change(
        [attrs.evolve(world.settings("started"), secret_file="/nonexistent"), world.settings("started", name="B", ca_file="x")]
    )
    assert [reason for _, _, reason in world.hooks.states()] == ["/nonexistent: No such file or directory", "there is no certificate in x"]


def test_disabled_is_off_without_a_word(world: World) -> None:
    world.hooks.change([world.settings("started", enabled=False)])
    assert (world.hooks.test("Desk"), world.told) == (None, [])


def test_keys() -> None:
    raw = bytes(range(32))
    assert key_of(b"whsec_" + base64.b64encode(raw) + b"\n") == raw
    assert key_of(b"  a-secret-of-more-than-24-octets\n") == b"a-secret-of-more-than-24-octets"


def test_the_signature_is_that_of_standard_webhooks() -> None:
    made = headers(b"k" * 24, "evt_1", 1700000000, b'{"a":1}')
    expected = base64.b64encode(hmac.new(b"k" * 24, b'evt_1.1700000000.{"a":1}', hashlib.sha256).digest()).decode()
    assert made == {"webhook-id": "evt_1", "webhook-timestamp": "1700000000", "webhook-signature": f"v1,{expected}"}
