"""Started as root, run as somebody else: what root made in a fresh state directory is the user's, and a second start reads it."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.relay import Configuration, Relay, article, child_environment
from tests.end_to_end.sink import Sink
from tests.network import LOOPBACK, eventually, low_port
from tests.programs import ROOT

NOBODY = 65534

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may bind a low port and change the user")


def _relay(sink: Sink) -> Relay:
    configuration, ports = article(sink.hop)
    submission, challenges = low_port(), low_port()
    configuration["server"]["state_directory"] = "deep/below/state"
    configuration["receive_connectors"]["Client Frontend"]["bindings"] = [f"{LOOPBACK}:{submission}"]
    for connector in configuration["receive_connectors"].values():
        connector["protocol_logging_level"] = "Verbose"
    _add_acme(configuration, challenges)
    relay = Relay(configuration, {**ports, "submission": submission})
    relay.directory.chmod(0o755)
    return relay


def _add_acme(configuration: Configuration, port: int) -> None:
    """An authority that nobody reaches: the account is made all the same."""
    configuration["acme"] = {
        "directory_url": "https://127.0.0.1:1/directory",
        "terms_of_service_agreed": True,
        "http_listen": f"{LOOPBACK}:{port}",
        "names": ["another.test"],
    }


def _start(relay: Relay) -> None:
    command = relay.command()
    command[command.index("-n") : command.index("-n") + 1] = ["-n", f"--uid={NOBODY}", f"--gid={NOBODY}"]
    with relay.log.open("ab") as log:
        environment = {**child_environment(), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT)}
        relay.process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", env=environment)
    eventually(relay._ready, "it listens")


def _all_below(directory: Path) -> dict[str, os.stat_result]:
    return {str(path.relative_to(directory)): path.lstat() for path in [directory, *directory.rglob("*")]}


def test_what_root_makes_is_the_users() -> None:
    with Sink() as sink, contextlib.closing(_relay(sink)) as relay:
        state = relay.directory / "deep/below/state"
        for start in (1, 2):
            _start(relay)
            assert relay.process is not None
            eventually(
                lambda: f"Uid:\t{NOBODY}" in Path(f"/proc/{relay.process.pid}/status").read_text() if relay.process else False, "nobody"
            )
            with relay.dialogue("submission") as session:
                session.command("EHLO client")
                session.start_tls()
                assert session.command("EHLO client").startswith("250")
            with relay.dialogue() as session:
                session.command("EHLO client")
                for size in (10, 400_000):
                    said = session.message("a@client.example", ["user@akkaya.local"], b"Subject: x\r\n\r\n" + b"y" * 70 * (size // 70))
                    assert said.startswith("250"), said
            made = relay.relayctl("certificate", "self-signed", f"later{start}.test")  # by root, beside the daemon
            assert made.returncode == 0, made.stderr
            eventually(lambda start=start: len(sink.delivered) == 2 * start, "it is delivered")  # type: ignore[misc]
            eventually(lambda: list((state / "logs/protocol").glob("*.LOG")), "the protocol log is written")
            eventually(lambda: (state / "acme/account.json").exists(), "the account of ACME is made")
            found = _all_below(relay.directory / "deep")
            others = {name for name, facts in found.items() if (facts.st_uid, facts.st_gid) != (NOBODY, NOBODY)}
            assert others == set()
            secrets = ("login.secret", "certificates", "acme", "acme/account.json", "spool")
            assert {name for name in secrets if found[f"below/state/{name}"].st_mode & 0o077} == set()
            assert relay.stop() == 0
        shown = relay.output()
        assert "cannot be read" not in shown
        assert "Permission denied" not in shown


def test_what_root_did_before_the_first_start_is_the_users_too() -> None:
    with Sink() as sink:
        relay = _relay(sink)
        state = relay.directory / "deep/below/state"
        relay.add_user("cengiz@akkaya.local", "correct horse battery staple")
        for arguments in (("certificate", "self-signed", "early.test"), ("connector", "set", "IP_Relay", "--comment", "x")):
            done = relay.relayctl(*arguments)
            assert done.returncode == 0, done.stderr
        assert {path.name for path in state.iterdir()} >= {"users", "certificates", "history"}
        try:
            _start(relay)
            found = _all_below(state)
            change = next(name for name in found if name.endswith("00000001.json"))
            assert {name for name, facts in found.items() if facts.st_uid != NOBODY} == {change}, "what root records of its files is root's"
            assert (found[change].st_uid, found[change].st_gid) == (0, NOBODY)
            assert [row["who"] for row in relay.listed("history")] == ["root"]
        finally:
            relay.close()


def test_a_change_that_needs_the_right_that_was_given_up_is_refused_and_others_keep_their_ports() -> None:
    with Sink() as sink, contextlib.closing(_relay(sink)) as relay:
        low, other = low_port(), low_port()
        del relay.configuration["acme"]
        connector = relay.configuration["receive_connectors"]["Client Frontend"]
        connector["bindings"] = [f"{LOOPBACK}:{low}"]
        relay.ports["submission"] = low
        relay.write()
        _start(relay)
        connector["bindings"] = [f"{LOOPBACK}:{low}", f"{LOOPBACK}:{other}"]
        relay.write()
        done = relay.relayctl("reload")
        assert done.returncode == 1
        assert "Permission denied" in done.stderr and "restart" in done.stderr
        connector["bindings"] = [f"0.0.0.0:{low}"]
        relay.write()
        done = relay.relayctl("reload")
        assert done.returncode == 1, done.stdout
        connector["bindings"] = [f"{LOOPBACK}:{low}"]
        connector["banner"] = "220 changed"
        relay.write()
        done = relay.relayctl("reload")
        assert done.returncode == 0, done.stderr
        with relay.dialogue("submission") as session:
            assert session.banner == "220 changed"
