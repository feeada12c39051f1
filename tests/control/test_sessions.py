"""Sessions by the API, and the verbs that ask for them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from click.testing import CliRunner, Result
from twisted.internet import defer, reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.control.fakes import Schedule, Spool, make_api, make_config
from tests.network import PATIENCE
from tests.relayctl.conftest import RELAY_YAML
from twistedrelay.control.client import ControlClient, Refused
from twistedrelay.control.server import ControlService
from twistedrelay.relayctl.main import cli
from twistedrelay.values.sessions import SessionView

NUMBER = "0660E08F74706B04"
UNKNOWN = "0" * 16

VIEW = SessionView(
    session=NUMBER,
    connector="IP_Relay",
    peer="192.168.1.55:36995",
    local="192.0.2.25:25",
    proxy="",
    since=1_795_348_800.5,
    helo="scan\x1bner",
    user="",
    tls="TLSv1.3 TLS_AES_256_GCM_SHA384",
    messages=3,
    state="Idle",
)


class Sessions:
    """Two sessions, until they are ended."""

    def __init__(self) -> None:
        self.there = [VIEW, attrs.evolve(VIEW, session="0660E08F74706B05", user="cengiz", state="Receiving")]

    def count(self) -> int:
        return len(self.there)

    def views(self) -> list[SessionView]:
        return self.there

    def disconnect(self, number: str) -> bool:
        before = len(self.there)
        self.there = [view for view in self.there if view.session != number]
        return len(self.there) < before


class SessionTests(TestCase):
    """Over a real UNIX socket."""

    timeout = PATIENCE

    def setUp(self) -> None:
        directory = Path(self.enterContext(tempfile.TemporaryDirectory()))
        path = f"{directory}/s/s"
        self.file = directory / "relay.yaml"
        self.file.write_text(RELAY_YAML.replace("state_directory: state", f"state_directory: state, control_socket: {path}"))
        config = make_config()
        logs = {"receive_protocol_log_path": str(directory / "logs"), "send_protocol_log_path": str(directory / "logs")}
        config = config.model_copy(update={"transport": config.transport.model_copy(update=logs)})
        self.logs = directory / "logs"
        self.waiting: Callable[[], None] = lambda: None
        self.sessions = Sessions()
        spool = Spool()
        api = make_api(reactor, spool, Schedule(spool), sessions=self.sessions, config=config, write_logs=self.write_logs)
        service = ControlService(reactor, path, api)  # type: ignore[arg-type]
        service.startService()
        self.addCleanup(service.stopService)
        self.client = ControlClient(path)

    def write_logs(self) -> defer.Deferred[object]:
        """What waits, if anything does."""
        self.waiting()
        return defer.succeed(None)

    def write(self) -> None:
        self.logs.mkdir()
        begin = f"2026-11-22T12:00:00.000Z,EXCSERVER\\IP_Relay,{NUMBER}"
        end = "192.0.2.25:25,192.168.1.55:36995"
        (self.logs / "RECV2026112212-1.LOG").write_text(f"{begin},0,{end},+,,\n{begin},1,{end},<,EHLO scanner,\n")

    def get(self, path: str) -> defer.Deferred[Any]:
        return deferToThread(self.client.get, path)

    async def refused(self, asked: defer.Deferred[Any], status: int, words: str) -> None:
        error = await self.assertFailure(asked, Refused)
        assert error.status == status
        assert words in str(error)

    def relayctl(self, *arguments: str) -> defer.Deferred[Result]:
        return deferToThread(lambda: CliRunner().invoke(cli, ["--config", str(self.file), *arguments]))

    async def test_those_in_progress(self) -> None:
        first, second = await self.get("/v1/sessions")
        assert first["since"] == "2026-11-22T12:00:00.500000Z"
        assert {**first, "since": VIEW.since} == attrs.asdict(VIEW)
        assert (second["user"], second["state"]) == ("cengiz", "Receiving")

    async def test_many(self) -> None:
        self.sessions.there = [attrs.evolve(VIEW, session=f"{number:016X}") for number in range(450)]
        assert [row["session"] for row in await self.get("/v1/sessions")] == [view.session for view in self.sessions.there]

    async def test_one_as_one_record(self) -> None:
        self.waiting = self.write  # lines that were said a moment ago are in it, too
        record = await self.get(f"/v1/sessions/{NUMBER.lower()}")
        assert record["session"] == NUMBER
        assert record["live"]["connector"] == "IP_Relay"
        assert [(line["sequence_number"], line["event"], line["data"]) for line in record["lines"]] == [
            (0, "+", ""),
            (1, "<", "EHLO scanner"),
        ]
        self.waiting = lambda: None
        assert await self.get(f"/v1/sessions/{UNKNOWN}") == {"session": UNKNOWN, "live": None, "lines": [], "problems": []}

    async def test_what_is_no_number(self) -> None:
        for number in ("1", "x" * 16, NUMBER + "0"):
            await self.refused(self.get(f"/v1/sessions/{number}"), 400, "16 hex digits")
        await self.refused(deferToThread(self.client.delete, "/v1/sessions/1"), 400, "16 hex digits")

    async def test_ending_one(self) -> None:
        path = f"/v1/sessions/{NUMBER.lower()}"
        assert await deferToThread(self.client.delete, path) == {"session": NUMBER, "action": "Disconnected"}
        assert [view.session for view in self.sessions.there] == ["0660E08F74706B05"]
        await self.refused(deferToThread(self.client.delete, path), 404, f"No session {NUMBER} is in progress")

    async def test_the_list(self) -> None:
        result = await self.relayctl("session", "list")
        assert result.exit_code == 0
        assert NUMBER in result.stdout
        assert "\x1b" not in result.stdout
        assert [row["session"] for row in json.loads((await self.relayctl("session", "list", "--json")).stdout)] == [
            NUMBER,
            NUMBER[:-1] + "5",
        ]

    async def test_showing_one(self) -> None:
        self.write()
        result = await self.relayctl("session", "show", NUMBER)
        assert result.exit_code == 0, result.output
        assert "In progress since 2026-11-22T12:00:00.500000Z: 192.168.1.55:36995 by IP_Relay, Idle" in result.stdout
        assert "  12:00:00.000 < EHLO scanner\n" in result.stdout
        assert "Message tracking is off" in result.stderr  # in the daemon; the file says otherwise
        record = json.loads((await self.relayctl("session", "show", NUMBER, "--json")).stdout)
        assert (len(record["lines"]), record["events"]) == (2, [])

    async def test_showing_one_that_nobody_knows(self) -> None:
        result = await self.relayctl("session", "show", UNKNOWN)
        assert result.exit_code == 1
        assert f"Nothing is known of the session {UNKNOWN}" in result.stderr
        assert "protocol_logging_level: Verbose" in result.stderr
        assert (await self.relayctl("session", "show", "12")).exit_code == 2

    async def test_disconnecting(self) -> None:
        result = await self.relayctl("session", "disconnect", NUMBER, "--what-if")
        assert result.exit_code == 0
        assert len(self.sessions.there) == 2
        assert (await self.relayctl("session", "disconnect", NUMBER)).stdout == f"The session {NUMBER} is ended.\n"
        assert len(self.sessions.there) == 1
        for more in ([], ["--what-if"]):
            result = await self.relayctl("session", "disconnect", NUMBER, *more)
            assert result.exit_code == 1
            assert "is in progress" in result.stderr

    async def test_top_off_a_terminal_looks_once(self) -> None:
        result = await self.relayctl("top")
        assert result.exit_code == 0, result.output
        assert "sessions 2  messages 0  queues 1" in result.stdout
        assert "EXCSERVER\\[10.0.0.1],relay.x.com" in result.stdout
        assert "192.168.1.55:36995" in result.stdout
