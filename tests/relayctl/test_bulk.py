"""Changes of many queues and messages by relayctl: what is asked, shown and done."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result
from twisted.internet import defer, reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.control.fakes import Schedule, Spool, make_api, make_message
from tests.network import PATIENCE
from tests.relayctl.conftest import RELAY_YAML
from twistedrelay.answers.queues import queue_name, spellings, without_server
from twistedrelay.control.client import Refused
from twistedrelay.control.server import ControlService
from twistedrelay.relayctl.bulk import change_messages
from twistedrelay.relayctl.identities import fits, message_filter
from twistedrelay.relayctl.main import cli

QUEUE = "[10.0.0.1],relay.x.com"


def test_wildcards_of_identities() -> None:
    assert fits("[10.0.0.*],RELAY.x.com", QUEUE)
    assert not fits("[10]*", QUEUE)  # brackets are no wildcards
    assert without_server("excserver\\a\\1", "EXCSERVER") == "a\\1"
    assert message_filter("a'b\\*", "S") == "Queue -like 'a''b'"
    assert message_filter("*\\7", "S") == "Id -eq 7"


@pytest.mark.parametrize("end", [Refused(503, "the spool is sick"), KeyboardInterrupt()])
def test_what_ends_early_says_how_far_it_came(end: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    answers = iter([{"changed": 199}, end])

    def post(path: str, body: object) -> object:
        answer = next(answers)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    with pytest.raises(type(end)):
        change_messages(SimpleNamespace(post=post), range(1, 451), "suspend")  # type: ignore[arg-type]
    assert "It was done to 199 of 450 messages, and perhaps to some of the next 200." in capsys.readouterr().err


class BulkTests(TestCase):
    """Over a real UNIX socket."""

    timeout = PATIENCE

    def setUp(self) -> None:
        self.directory = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.file = self.directory / "relay.yaml"
        path = f"{self.directory}/s/s"
        self.file.write_text(RELAY_YAML.replace("state_directory: state", f"state_directory: state, control_socket: {path}"))
        self.spool = Spool({number: make_message(number) for number in range(1, 1206)})
        self.schedule = Schedule(self.spool)
        service = ControlService(reactor, path, make_api(reactor, self.spool, self.schedule))  # type: ignore[arg-type]
        service.startService()
        self.addCleanup(service.stopService)

    def relayctl(self, *arguments: str) -> defer.Deferred[Result]:
        return deferToThread(lambda: CliRunner().invoke(cli, ["--config", str(self.file), *arguments]))

    async def test_what_if_lists_and_counts(self) -> None:
        result = await self.relayctl("message", "suspend", "--filter", "Id -le 30", "--what-if")
        assert result.exit_code == 0, result.output
        assert "EXCSERVER\\akkaya.local\\20" in result.stdout
        assert "EXCSERVER\\akkaya.local\\21" not in result.stdout
        assert "… and 10 more." in result.stdout
        assert "What if: 30 messages would be suspended." in result.stdout
        assert self.schedule.messages.done == []

    async def test_off_a_terminal_it_has_to_be_said(self) -> None:
        result = await self.relayctl("message", "remove", "--filter", "Id -le 3")
        assert result.exit_code == 2
        assert "--yes" in result.stderr
        assert self.schedule.messages.done == []

    async def test_it_is_done_in_batches(self) -> None:
        result = await self.relayctl("message", "remove", "--filter", "Id -gt 200", "--yes", "--without-ndr")
        assert result.exit_code == 0, result.output
        assert "1005 messages are removed; their senders are not told." in result.stdout
        assert [len(done[1]) for done in self.schedule.messages.done] == [200] * 5 + [5]
        assert {done[2] for done in self.schedule.messages.done} == {False}
        assert "No message fits." in (await self.relayctl("message", "resume", "--filter", "Id -gt 9999", "--yes")).stdout

    async def test_an_identity_or_a_filter(self) -> None:
        for verb in ("suspend", "resume", "remove", "export"):
            assert (await self.relayctl("message", verb)).exit_code == 2
            assert (await self.relayctl("message", verb, "1", "--filter", "Id -eq 1")).exit_code == 2
        for verb in ("suspend", "resume", "retry"):
            assert (await self.relayctl("queue", verb, QUEUE, "--filter", "RetryCount -gt 1")).exit_code == 2
        assert (await self.relayctl("queue", "redirect", QUEUE)).exit_code == 2
        assert (await self.relayctl("queue", "redirect", QUEUE, "--to", "x", "--cancel")).exit_code == 2

    async def test_identities_of_messages(self) -> None:
        for identity in ("7", "EXCSERVER\\7", "akkaya.local\\7", "*\\7", "EXCSERVER\\AKKAYA.*\\7"):
            assert (await self.relayctl("message", "suspend", identity)).exit_code == 0, identity
        several = await self.relayctl("message", "suspend", "akkaya.local\\*")
        assert several.exit_code == 1
        assert "--filter \"Queue -like 'akkaya.local'\"" in several.stderr
        assert (await self.relayctl("message", "suspend", "other.example\\*")).exit_code == 1
        assert (await self.relayctl("message", "suspend", "other.example\\7")).exit_code == 1
        assert (await self.relayctl("message", "suspend", "akkaya.local")).exit_code == 2

    async def test_queues_by_filter_and_wildcard(self) -> None:
        assert (await self.relayctl("queue", "suspend", "[10.*", "--reason", "test")).exit_code == 0
        assert self.schedule.queues.done == [("suspend", QUEUE)]
        result = await self.relayctl("queue", "retry", "--filter", "RetryCount -gt 1", "--resubmit", "--yes")
        assert result.exit_code == 0, result.output
        assert "1 queue is resubmitted." in result.stdout
        assert (await self.relayctl("queue", "retry", "--filter", "RetryCount -gt 1")).exit_code == 2
        redirected = await self.relayctl("queue", "redirect", "--filter", "RetryCount -gt 1", "--to", "10.0.0.9", "--yes")
        assert redirected.exit_code == 0
        assert self.schedule.queues.redirect_to == "[10.0.0.9]"
        assert (await self.relayctl("queue", "suspend", "nowhere.*")).exit_code == 1

    async def test_queue_show(self) -> None:
        shown = await self.relayctl("queue", "show", "EXCSERVER\\" + QUEUE)
        assert "NextHopCategory" in shown.stdout
        assert "relay@x.com" in shown.stdout
        assert "421 4.3.2 Service not available" in shown.stdout
        (document,) = json.loads((await self.relayctl("queue", "show", QUEUE, "--json")).stdout)
        assert document["lanes"][0]["tls"] == "domain"

    async def test_long_lists_are_streamed_and_look_the_same(self) -> None:
        listed = await self.relayctl("message", "list", "--json", "--result-size", "unlimited")
        assert len(json.loads(listed.stdout)) == 1205
        assert listed.stdout == json.dumps(json.loads(listed.stdout), indent=2) + "\n"
        rows = list(csv.DictReader(io.StringIO((await self.relayctl("message", "list", "--csv", "--result-size", "unlimited")).stdout)))
        assert [int(row["id"]) for row in rows] == list(range(1, 1206))
        table = (await self.relayctl("message", "list")).stdout.splitlines()
        assert len(table) == 1002
        assert (await self.relayctl("message", "list", "--result-size", "some")).exit_code == 2

    async def test_export(self) -> None:
        out = self.directory / "out"
        done = await self.relayctl("message", "export", "1", "akkaya.local\\2", "--output", str(out))
        assert done.exit_code == 0, done.output
        assert sorted(path.name for path in out.iterdir()) == ["1.eml", "2.eml"]
        assert (out / "1.eml").read_bytes().startswith(b"X-Sender: <cengiz@cozumpark.com>\r\nX-Receiver: <user0@akkaya.local>\r\nSubject:")
        assert (out / "1.eml").stat().st_mode & 0o777 == 0o600
        gone = await self.relayctl("message", "export", "9999", "--output", str(out))
        assert gone.exit_code == 1
        again = await self.relayctl("message", "export", "3", "1", "--output", str(out))
        assert (again.exit_code, again.stderr) == (
            1,
            f"Error: {out}/1.eml is there already.\nNothing was written. Name another place, or overwrite it with --force.\n",
        )
        (out / "1.eml").write_bytes(b"old")
        assert (await self.relayctl("message", "export", "1", "1", "--output", str(out), "--force")).exit_code == 0
        assert (out / "1.eml").read_bytes().startswith(b"X-Sender")
        assert sorted(path.name for path in out.iterdir()) == ["1.eml", "2.eml"]
        blocked = await self.relayctl("message", "export", "1", "--output", str(self.file))
        assert blocked.exit_code == 1 and "cannot be written" in blocked.stderr
        plain = await self.relayctl("message", "export", "1", "--content-only", "--output", "-")
        assert plain.stdout_bytes == self.spool.kept[1].content.octets


def test_an_address_is_named_with_brackets_or_without() -> None:
    """The configuration has C{127.0.0.1:2600} where the queue is C{[127.0.0.1]:2600}."""
    assert queue_name("127.0.0.1:2600", "EXCSERVER") == "[127.0.0.1]:2600"
    assert queue_name("excserver\\192.0.2.1", "EXCSERVER") == "[192.0.2.1]"
    for same in ("[127.0.0.1]:2600", "mail.example.org:25", "127.0.0.*", "Unreachable", "[192.0.2.1],relay.example.org"):
        assert queue_name(same, "EXCSERVER") == same
    assert spellings("[127.0.0.1]:2600") == ["[127.0.0.1]:2600", "127.0.0.1:2600"]
    assert spellings("[192.0.2.1]") == ["[192.0.2.1]", "192.0.2.1"]
    for same in ("[2001:db8::1]:25", "[192.0.2.1],relay.example.org", "Unreachable"):
        assert spellings(same) == [same]
    assert message_filter("127.0.0.1:2600\\7", "EXCSERVER") == "Id -eq 7 -and Queue -like '[127.0.0.1]:2600'"
