"""The daemon as a service: starting, refusing to start, stopping, and living through both."""

from __future__ import annotations

import json
import os
import signal
import smtplib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.relay import Relay, article, child_environment, twistd_command
from tests.end_to_end.sink import Sink
from tests.end_to_end.site import Site
from tests.network import LOOPBACK, PATIENCE, Dialogue, answers, eventually, low_port, unverified

CONTENT = b"Subject: Test email\r\n\r\nTesting\r\n"


def run_twistd(relay: Relay, *options: str) -> subprocess.CompletedProcess[str]:
    """A run of the daemon that is expected to end by itself."""
    return subprocess.run(
        relay.command(*options), capture_output=True, text=True, check=False, cwd=relay.directory, env=child_environment(), timeout=PATIENCE
    )


def not_started(**changes: Any) -> Relay:
    """A relay whose configuration has these keys in addition."""
    configuration, ports = article("127.0.0.1:9")
    return Relay({**configuration, **changes}, ports)


def test_check_says_that_a_configuration_is_good() -> None:
    """Exit 0; nothing is bound and nothing is made."""
    relay = not_started()
    done = run_twistd(relay, "--check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not relay.state.exists()
    relay.close()


def test_check_shows_every_problem_with_file_and_line() -> None:
    """Exit 1; all problems at once."""
    relay = not_started()
    text = relay.file.read_text().replace("permission_groups", "permision_groups", 1) + "nonsense: true\n"
    relay.file.write_text(text)
    line = next(number for number, line in enumerate(text.splitlines(), 1) if "permision_groups" in line)
    done = run_twistd(relay, "--check")
    output = done.stdout + done.stderr
    assert done.returncode == 1, output
    assert f"relay.yaml:{line}:" in output
    assert "permission_groups" in output, "a suggestion"
    assert f"relay.yaml:{len(text.splitlines())}:" in output
    assert "Traceback" not in output
    relay.close()


def test_a_bad_configuration_stops_the_start() -> None:
    """The same problems, and a status that a supervisor sees."""
    relay = not_started(nonsense=True)
    done = run_twistd(relay)
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert "nonsense" in output
    assert "Traceback" not in output
    relay.close()


def test_a_port_that_is_taken_stops_the_start() -> None:
    """A relay that silently does not listen is the worst case."""
    with Sink() as occupant:
        relay = not_started()
        taken = f"{LOOPBACK}:{occupant.port}"
        relay.configuration["receive_connectors"]["Submissions"]["bindings"] = [taken]
        relay.write()
        done = run_twistd(relay)
        output = done.stdout + done.stderr
        assert done.returncode != 0
        assert str(occupant.port) in output
        assert "in use" in output.lower()
        assert not answers(relay.port)
        relay.close()


def test_a_broken_users_file_is_told_at_the_start_and_at_a_login() -> None:
    """Mail without a login goes on; who runs the relay is told why nobody can log in."""
    configuration, ports = article(f"{LOOPBACK}:9")
    relay = Relay(configuration, ports)
    relay.state.mkdir()
    users = relay.state / "users"
    users.write_text("somebody\n")
    with relay:
        eventually(lambda: f"nobody can log in: {users}:1:" in relay.output(), "it is told at the start")
        users.write_text("somebody else\n")
        with smtplib.SMTP(LOOPBACK, ports["submission"], timeout=PATIENCE) as client:
            client.starttls(context=unverified())
            client.ehlo()
            assert client.docmd("AUTH PLAIN", "AGNlbmdpekBha2theWEubG9jYWwAd3Jvbmc=")[0] == 535
        eventually(lambda: "the users file is not used as it is now" in relay.output(), "and when it changed")


def test_daemonised_with_a_pidfile() -> None:
    """twistd's own way into the background and back."""
    with Sink() as sink:
        configuration, ports = article(sink.hop)
        relay = Relay(configuration, ports)
        pidfile = relay.directory / "relay.pid"
        command = [*twistd_command(), f"--pidfile={pidfile}", f"--logfile={relay.log}", "twistedrelay", "--config", str(relay.file)]
        subprocess.run(command, check=True, cwd=relay.directory, env=child_environment(), timeout=PATIENCE)
        eventually(lambda: answers(relay.port), "it listens")
        process = int(pidfile.read_text())
        try:
            with relay.dialogue() as session:
                session.command("EHLO client")
                assert session.message("a@client.example", ["user@akkaya.local"], CONTENT).startswith("250")
            eventually(lambda: sink.delivered, "it is delivered")
            assert (health := relay.relayctl("health")).returncode == 0, health.stdout
            relay.log.rename(relay.directory / "rotated.log")
            os.kill(process, signal.SIGUSR1)
            relay.dialogue().close()
            eventually(lambda: "connect client=" in relay.output(), "the new log is written")
        finally:
            os.kill(process, signal.SIGTERM)
            eventually(lambda: not alive(process), "it ends")
        assert not pidfile.exists()
        assert "Traceback" not in relay.output()
        relay.close()


def alive(process: int) -> bool:
    """Whether a process that is not our child runs."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may bind a low port and change the user")
def test_a_low_port_and_another_user() -> None:
    """Bound as root, run as somebody else, who owns what is made."""
    with Sink() as sink:
        configuration, ports = article(sink.hop)
        port = low_port()
        configuration["receive_connectors"]["Client Frontend"]["bindings"] = [f"{LOOPBACK}:{port}"]
        relay = Relay(configuration, {**ports, "submission": port})
        relay.directory.chmod(0o755)
        relay.state.mkdir()
        os.chown(relay.state, 65534, 65534)
        relay.log.touch()
        command = relay.command()
        command[command.index("-n") : command.index("-n") + 1] = ["-n", "--uid=65534", "--gid=65534"]
        with relay.log.open("ab") as log:
            relay.process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd="/", env={**child_environment(), "PYTHONDONTWRITEBYTECODE": "1"}
            )
        eventually(lambda: answers(port) or (relay.process is not None and relay.process.poll() is not None), "it listens")
        assert relay.process.poll() is None, relay.output()
        eventually(
            lambda: "Uid:\t65534" in Path(f"/proc/{relay.process.pid}/status").read_text() if relay.process else True, "it runs as nobody"
        )
        with relay.dialogue("submission") as session:
            assert session.command("EHLO client").startswith("250")
        with relay.dialogue() as session:
            session.command("EHLO client")
            assert session.message("a@client.example", ["user@akkaya.local"], CONTENT).startswith("250")
        eventually(lambda: sink.delivered, "it is delivered")
        assert {path.stat().st_uid for path in (relay.state / "spool").iterdir()} == {65534}
        relay.close()


def test_sigterm_lets_a_message_in_progress_finish() -> None:
    """Stop accepting, finish DATA, deliver or keep, exit 0."""
    with Sink() as sink:
        configuration, ports = article(sink.hop)
        with Relay(configuration, ports) as relay:
            assert relay.process is not None
            session = relay.dialogue()
            for line in ("EHLO client", "MAIL FROM:<a@client.example>", "RCPT TO:<user@akkaya.local>", "DATA"):
                assert session.command(line)[0] in "23"
            session.send(b"Subject: Test email\r\n\r\nfirst half\r\n")
            relay.process.terminate()
            eventually(lambda: not answers(relay.port), "it accepts no more connections")
            session.send(b"second half\r\n.\r\n")
            assert session.reply().startswith("250")
            session.close()
            assert relay.process.wait(PATIENCE) == 0
            relay.process = None
            if not sink.delivered:
                relay.start()
            eventually(lambda: sink.delivered, "it is delivered before the end, or after the next start")
        assert b"first half\r\nsecond half\r\n" in sink.delivered[0].content


def test_sigterm_does_not_wait_for_the_idle(site: Site) -> None:
    """A session that does nothing is told 421 and closed; C{shutdown_timeout} is for those at work."""
    relay = site.relay
    relay.stop()
    relay.configuration["transport"]["shutdown_timeout"] = "10m"
    relay.write()
    relay.start()
    assert relay.process is not None
    with relay.dialogue() as session:
        session.command("EHLO client")
        relay.process.terminate()
        assert session.reply().startswith("421 4.3.2")
        assert session.closed()
    assert relay.process.wait(PATIENCE) == 0
    relay.process = None


def test_a_second_daemon_on_the_same_spool_is_refused(site: Site) -> None:
    """The first goes on."""
    _, ports = article(site.mailbox.hop)
    second = Relay({**site.relay.configuration}, ports)
    second.configuration["receive_connectors"] = {
        "Default Frontend": {"bindings": [f"{LOOPBACK}:{ports['relay']}"], "permission_groups": ["AnonymousUsers"]}
    }
    second.configuration["server"] = {
        **site.relay.configuration["server"],
        "state_directory": str(site.relay.state),
        "control_socket": "own.sock",
    }
    second.write()
    done = run_twistd(second)
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert "spool" in output
    assert not answers(ports["relay"])
    second.close()
    with site.relay.dialogue() as session:
        session.command("EHLO client")
        assert session.message("a@client.example", ["user@akkaya.local"], CONTENT).startswith("250")


def test_the_spool_lives_through_a_restart() -> None:
    """What waits is delivered by the next process."""
    with Sink() as sink:
        configuration, ports = article(sink.hop)
        configuration["transport"]["mailbox_delivery_queue_retry_interval"] = "2s"
        with Relay(configuration, ports) as relay:
            sink.stop()
            with relay.dialogue() as session:
                session.command("EHLO client")
                for number in range(5):
                    said = session.message("a@client.example", [f"user{number}@akkaya.local"], CONTENT)
                    assert said.startswith("250")
            assert relay.stop() == 0
            sink.start()
            relay.start()
            eventually(lambda: len(sink.delivered) == 5, "all five are delivered")
        assert sorted(message.recipients[0] for message in sink.delivered) == [f"user{number}@akkaya.local" for number in range(5)]


def test_a_socket_left_by_a_killed_daemon_is_replaced(site: Site) -> None:
    """relayctl works again after kill -9 and a new start."""
    site.relay.kill()
    assert site.relay.relayctl("status").returncode == 3
    site.relay.start()
    assert site.relay.relayctl("status").returncode == 0


def test_the_log_can_be_json(site: Site) -> None:
    """One JSON object a line with C{--logger}."""
    configuration, ports = article(site.mailbox.hop)
    relay = Relay(configuration, ports)
    command = [
        *twistd_command(),
        "-n",
        "--pidfile=",
        "--logger=twistedrelay.observe.logs.observer",
        "twistedrelay",
        "--config",
        str(relay.file),
    ]
    with relay.log.open("ab") as log:
        relay.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=relay.directory, env=child_environment())
    eventually(lambda: answers(ports["relay"]), "it listens")
    with Dialogue(ports["relay"]) as session:
        session.command("EHLO client")
        session.message("a@client.example", ["user@akkaya.local"], CONTENT)
    eventually(lambda: site.mailbox.delivered, "it is delivered")
    assert relay.stop() == 0
    lines = [line for line in relay.output().splitlines() if line.strip()]
    rows = [json.loads(line) for line in lines]
    assert rows
    assert all("time" in row for row in rows)
    assert any("user@akkaya.local" in line for line in lines)
    relay.close()
