"""Events of the real relay posted to a real web server, verified as docs/webhooks.rst shows it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.end_to_end.relay import Relay, article
from tests.network import LOOPBACK, eventually

SECRET = "a-secret-of-more-than-24-octets"


class Receiver(ThreadingHTTPServer):
    """Keeps what is posted, and answers what it is told to."""

    status = 204

    def __init__(self) -> None:
        super().__init__((LOOPBACK, 0), Handler)
        self.taken: list[tuple[dict[str, str], bytes]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def types(self) -> list[str]:
        return [json.loads(body)["type"] for _, body in self.taken]

    def event(self, kind: str) -> dict[str, Any]:
        found: dict[str, Any] = next(json.loads(body) for _, body in self.taken if json.loads(body)["type"] == kind)
        return found


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.server.status < 300:
            self.server.taken.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Quiet."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def relay(receiver: Receiver) -> Iterator[Relay]:
    configuration, ports = article("maildir:mail")
    names = ["RECEIVE", "DELIVER", "command_refused", "started", "stopping"]
    hook = {"name": "Desk", "url": f"http://{LOOPBACK}:{receiver.server_port}/events", "events": names, "secret_file": "secret"}
    configuration["webhooks"] = [hook]
    made = Relay(configuration, ports)
    (made.directory / "secret").write_text(SECRET + "\n")
    with made:
        yield made


def is_genuine(headers: dict[str, str], body: bytes) -> bool:
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(each, f"v1,{expected}") for each in headers["webhook-signature"].split())


def test_a_message_is_told(relay: Relay, receiver: Receiver) -> None:
    relay.submit(["user@akkaya.local"])
    with relay.dialogue() as session:
        session.command("EHLO stranger")
        session.command("MAIL FROM:<a@outside.example>")
        session.command("RCPT TO:<b@elsewhere.example>")
    eventually(lambda: {"RECEIVE", "DELIVER", "command_refused"} <= set(receiver.types()) or None, "events arrive")
    assert all(is_genuine(headers, body) for headers, body in receiver.taken)
    assert receiver.types()[0] == "started"
    event = receiver.event("RECEIVE")
    assert (event["server"], event["data"]["recipients"], event["data"]["connector"]) == (
        "EXCSERVER",
        ["user@akkaya.local"],
        "IP_Relay",
    )
    assert receiver.event("command_refused")["data"]["reply"].startswith("550 5.7.54")
    [state] = relay.listed("webhook", "list")
    assert (state["status"], state["delivered"] >= 4, state["dropped"]) == ("ready", True, 0)


def test_what_happens_while_nobody_answers_is_told_later_and_the_last_words_too(relay: Relay, receiver: Receiver) -> None:
    receiver.status = 503
    relay.submit(["user@akkaya.local"])
    eventually(lambda: relay.listed("webhook", "list")[0]["failures"] or None, "it fails")
    assert relay.listed("webhook", "list")[0]["status"] == "failing"
    receiver.status = 200
    eventually(lambda: "DELIVER" in receiver.types() or None, "events arrive")
    relay.stop()
    assert receiver.types()[-1] == "stopping"


def test_a_test(relay: Relay, receiver: Receiver) -> None:
    found = relay.relayctl("webhook", "test", "Desk")
    assert (found.returncode, "204" in found.stdout) == (0, True), found.stderr
    assert receiver.event("test")["data"] == {"text": "a test from EXCSERVER"}
    receiver.status = 404
    assert relay.relayctl("webhook", "test", "Desk").returncode == 1
    assert "No webhook Nobody is in use" in relay.relayctl("webhook", "test", "Nobody").stderr
