"""Tests for C{relayctl track} without a daemon; with one it is tested end to end."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.observe.tracking.world import DAY, UNKNOWN, World
from twistedrelay.relayctl.main import cli
from twistedrelay.relayctl.verbs import track


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "relay.yaml").write_text("server: {name: EXCSERVER, fqdn: relay.akkaya.local, state_directory: s}\n")
    return World(tmp_path / "s" / "tracking")


@pytest.fixture
def mail(world: World) -> World:
    world.tried(world.received("u@customer.example"))
    world.tried(world.received("nobody@customer.example", subject="\x1b[31m"), UNKNOWN)
    world.write()
    world.clock.advance(DAY)
    world.received("v@customer.example")
    assert world.sink.stop(2.0).called
    return world


def run(world: World, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["--config", str(world.path.parent.parent / "relay.yaml"), "track", *arguments])


def test_a_table(mail: World) -> None:
    done = run(mail, "--event", "fail,receive")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0].split()[:4] == ["Timestamp", "EventId", "InternalMessageId", "Sender"]
    assert [line.split()[1] for line in done.stdout.splitlines()[2:]] == ["RECEIVE", "FAIL", "RECEIVE", "RECEIVE"]
    assert "\x1b" not in done.stdout


def test_json_and_csv(mail: World) -> None:
    rows = json.loads(run(mail, "--json", "--oldest-first").stdout)
    assert [row["internal_message_id"] for row in rows] == [1, 1, 2, 2, 3]
    assert rows[3]["recipient_status"] == ["550 5.1.1 User unknown"]
    found = list(csv.DictReader(run(mail, "--csv", "--event", "FAIL").stdout.splitlines()))
    assert [(row["event_id"], row["recipients"]) for row in found] == [("FAIL", "nobody@customer.example")]
    assert json.loads(run(mail, "--json", "--sender", "x@y").stdout) == []


def test_the_limit_is_told(mail: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(track, "PAGE", 2)
    done = run(mail, "--limit", "3", "--json")
    assert len(json.loads(done.stdout)) == 3
    assert "There are more than 3" in done.stderr
    done = run(mail, "--limit", "5", "--json")
    assert (len(json.loads(done.stdout)), done.stderr) == (5, "")
    assert len(json.loads(run(mail, "--limit", "unlimited", "--json").stdout)) == 5


def test_a_story(mail: World) -> None:
    done = run(mail, "2")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0] == "Message 2 <2@printer>"
    assert [row["event_id"] for row in json.loads(run(mail, "<2@printer>", "--json").stdout)] == ["RECEIVE", "FAIL"]
    done = run(mail, "99")
    assert (done.exit_code, "Nothing is known of the message 99" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--start", "soon"),
        ("--user", ""),
        ("",),
        ("--limit", "0"),
        ("--limit", "-1"),
        ("--limit", "many"),
        ("--event", "SENT"),
        ("--client", "x"),
        ("--id", "x"),
        ("2", "--sender", "a@b"),
        ("2", "--export", "-"),
        ("--force",),
    ],
)
def test_usage(mail: World, arguments: tuple[str, ...]) -> None:
    done = run(mail, *arguments)
    assert done.exit_code == 2, done.output


def test_export(mail: World, tmp_path: Path) -> None:
    done = run(mail, "--export", "-")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("#Software: twistedrelay")
    assert [row[8] for row in csv.reader(lines[5:])] == ["RECEIVE", "SEND", "RECEIVE", "FAIL", "RECEIVE"]
    file = tmp_path / "all.log"
    assert run(mail, "--export", str(file), "--limit", "2").stderr == f"2 events are in {file}.\n"
    assert len(file.read_text().splitlines()) == 7
    again = run(mail, "--export", str(file))
    assert again.stderr == f"Error: {file} is there already.\nNothing was written. Name another place, or overwrite it with --force.\n"
    assert (again.exit_code, len(file.read_text().splitlines())) == (1, 7)
    assert run(mail, "--export", str(file), "--force").exit_code == 0
    assert len(file.read_text().splitlines()) == 10
    missing = run(mail, "--export", str(tmp_path / "no" / "where"))
    assert (missing.exit_code, "cannot be written" in missing.stderr) == (1, True)
    nothing = run(mail, "--export", "-", "--sender", "x@y")
    assert len(nothing.stdout.splitlines()) == 5


def test_export_to_a_directory(mail: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    done = run(mail, "--export", str(logs))
    assert done.stderr == f"5 events are in 2 files in {logs}.\n"
    assert sorted(path.name for path in logs.iterdir()) == ["MSGTRK20261122-1.LOG", "MSGTRK20261123-1.LOG"]
    monkeypatch.setattr(track, "MAX_LOG", 1000)
    (logs / "MSGTRK20261122-1.LOG").unlink()
    before = {path.name: path.read_bytes() for path in logs.iterdir()}
    refused = run(mail, "--export", str(logs))
    assert (refused.exit_code, "MSGTRK20261123-1.LOG is there already" in refused.stderr) == (1, True)
    assert {path.name: path.read_bytes() for path in logs.iterdir()} == before
    assert run(mail, "--export", str(logs), "--force").exit_code == 0
    assert len(list(logs.iterdir())) > 3
    assert all(path.read_text().startswith("#Software") for path in logs.iterdir())


def test_an_export_leaves_nothing_older_of_its_days(mail: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads the directory would count those events twice."""
    logs = tmp_path / "logs"
    logs.mkdir()
    others = [logs / "MSGTRK20261121-1.LOG", logs / "MSGTRK20261122-1-mine.LOG"]
    for other in others:
        other.write_text("")
    with monkeypatch.context() as small:
        small.setattr(track, "MAX_LOG", 1000)
        assert run(mail, "--export", str(logs)).exit_code == 0
    (logs / "MSGTRK20261122-1.LOG").unlink()
    refused = run(mail, "--export", str(logs))
    assert (refused.exit_code, "MSGTRK20261122-2.LOG is there already" in refused.stderr) == (1, True)
    assert run(mail, "--export", str(logs), "--force").exit_code == 0
    days = [logs / f"MSGTRK202611{day}-1.LOG" for day in (22, 23)]
    assert sorted(logs.iterdir()) == sorted([*others, *days])


def test_what_is_no_file_is_written_to_as_it_is(mail: World, tmp_path: Path) -> None:
    pipe = str(tmp_path / "pipe")
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert run(mail, "--export", pipe).exit_code == 0
        assert os.read(reader, 100).startswith(b"#Software")
    finally:
        os.close(reader)


def test_a_link_stays_one(mail: World, tmp_path: Path) -> None:
    file, link = tmp_path / "all.log", tmp_path / "link"
    link.symlink_to(file)
    assert run(mail, "--export", str(link)).exit_code == 1
    assert run(mail, "--export", str(link), "--force").exit_code == 0
    assert link.is_symlink() and file.read_text().startswith("#Software")


def test_a_file_that_cannot_be_read_is_told_once(mail: World) -> None:
    (mail.path / "MSGTRK20261101-1.sqlite").write_bytes(b"x" * 5000)
    done = run(mail, "--json")
    assert len(json.loads(done.stdout)) == 5
    assert done.stderr.count("MSGTRK20261101-1.sqlite cannot be read") == 1


def test_files_that_cannot_be_read_at_all(world: World) -> None:
    world.path.mkdir(parents=True)
    (world.path / "MSGTRK20261101-1.sqlite").write_bytes(b"x" * 5000)
    done = run(world, "--json")
    assert (done.exit_code, "not everything could be read" in done.stderr) == (1, True)


def test_nothing_was_tracked(world: World) -> None:
    assert (run(world).stdout, run(world).stderr) == ("", "No event fits.\n")
    assert run(world, "--csv").stderr == ""
    assert json.loads(run(world, "--json").stdout) == []
