"""relayctl beside the running daemon, and without it."""

from __future__ import annotations

import json
import smtplib
import stat

import pytest

from tests.end_to_end.relay import Relay, article
from tests.end_to_end.site import Site
from tests.network import LOOPBACK, PATIENCE, eventually, unverified

CONTENT = b"Subject: Test email\r\nMessage-ID: <one@client.example>\r\n\r\nTesting\r\n"


@pytest.fixture
def waiting(site: Site) -> Site:
    """A site with one message that waits, because the mailbox server is away."""
    site.mailbox.stop()
    with site.relay.dialogue() as session:
        session.command("EHLO client")
        assert session.message("a@cozumpark.com", ["user@akkaya.local", "other@akkaya.local"], CONTENT).startswith("250")
    return site


def may_log_in(site: Site, name: str, password: str) -> bool:
    """Whether the submission connector takes a login."""
    with smtplib.SMTP(LOOPBACK, site.relay.ports["submission"], timeout=PATIENCE) as client:
        client.starttls(context=unverified())
        try:
            client.login(name, password)
        except smtplib.SMTPAuthenticationError:
            return False
        return True


def test_users_come_change_and_go_while_the_daemon_runs(site: Site) -> None:
    """The daemon sees each change at the next login; the file keeps its mode and holds no password."""
    relay = site.relay
    relay.add_user("cengiz@akkaya.local", "first password")
    users = relay.state / "users"
    mode = stat.S_IMODE(users.stat().st_mode)
    assert mode & 0o007 == 0
    assert "first password" not in users.read_text()
    assert may_log_in(site, "CENGIZ@akkaya.local", "first password")
    again = relay.relayctl("user", "add", "cengiz@akkaya.local", "--password-stdin", text="x\n")
    assert again.returncode == 1
    assert "cengiz@akkaya.local" in again.stderr + again.stdout
    assert may_log_in(site, "cengiz@akkaya.local", "first password")
    assert relay.relayctl("user", "passwd", "cengiz@akkaya.local", "--password-stdin", text="second password\n").returncode == 0
    assert not may_log_in(site, "cengiz@akkaya.local", "first password")
    assert may_log_in(site, "cengiz@akkaya.local", "second password")
    assert "cengiz@akkaya.local" in relay.relayctl("user", "list").stdout
    assert relay.relayctl("user", "remove", "cengiz@akkaya.local").returncode == 0
    assert not may_log_in(site, "cengiz@akkaya.local", "second password")
    assert relay.listed("user", "list") == []
    assert relay.relayctl("user", "remove", "cengiz@akkaya.local").returncode == 1
    assert stat.S_IMODE(users.stat().st_mode) == mode


def test_status(site: Site) -> None:
    """Exit 0 and a JSON document while the daemon runs."""
    assert site.relay.relayctl("status").returncode == 0
    done = site.relay.relayctl("status", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)


def test_a_message_that_waits(waiting: Site) -> None:
    """queue list, message list, message show, message remove."""
    relay = waiting.relay
    [queue] = eventually(lambda: [row for row in relay.listed("queue", "list") if row["message_count"] == 1], "the queue shows it")
    assert queue["delivery_type"] == "SmtpDeliveryToMailbox"
    table = relay.relayctl("queue", "list")
    assert table.returncode == 0
    assert queue["identity"] in table.stdout
    [message] = relay.listed("message", "list")
    assert "a@cozumpark.com" in json.dumps(message)
    identity = str(message["identity"])
    shown = relay.relayctl("message", "show", identity)
    assert shown.returncode == 0, shown.stderr
    assert "user@akkaya.local" in shown.stdout
    assert "other@akkaya.local" in shown.stdout
    assert relay.relayctl("message", "remove", identity).returncode == 0
    eventually(relay.is_empty, "it is removed")
    assert relay.relayctl("message", "show", identity).returncode == 1
    waiting.mailbox.start()
    assert waiting.mailbox.delivered == []


def test_nothing_waits(site: Site) -> None:
    """Empty lists are empty arrays."""
    assert site.relay.listed("message", "list") == []


def test_csv(site: Site) -> None:
    """Every list can be CSV; a name with a blank is one field."""
    done = site.relay.relayctl("connector", "list", "--csv")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].lower().startswith("identity,")
    assert any(line.startswith("EXCSERVER\\Default Frontend,") for line in lines)


def test_send_shows_each_step(site: Site) -> None:
    """The test message arrives, and the dialogue is shown."""
    server = f"{LOOPBACK}:{site.relay.port}"
    done = site.relay.relayctl("send", "--server", server, "--from", "a@akkaya.local", "--to", "user@akkaya.local")
    assert done.returncode == 0, done.stdout + done.stderr
    for expected in ("220 ", "MAIL FROM:<a@akkaya.local>", "RCPT TO:<user@akkaya.local>", "354 ", "Queued mail for delivery"):
        assert expected in done.stdout
    eventually(lambda: site.mailbox.delivered, "it arrives")


def test_send_that_is_refused(site: Site) -> None:
    """Exit 1, with the reply."""
    server = f"{LOOPBACK}:{site.relay.port}"
    done = site.relay.relayctl("send", "--server", server, "--from", "a@akkaya.local", "--to", "cengiz@gmail.com")
    assert done.returncode == 1
    assert "550 5.7.54" in done.stdout + done.stderr


def test_without_a_daemon() -> None:
    """connector, check and user work from the file; queue and message exit 3; nonsense exits 2."""
    configuration, ports = article("127.0.0.1:9")
    relay = Relay(configuration, ports)
    relay.add_user("cengiz@akkaya.local", "password")
    assert relay.relayctl("user", "list").returncode == 0
    assert relay.relayctl("check").returncode == 0
    shown = relay.relayctl("connector", "show", "IP_Relay")
    assert shown.returncode == 0
    assert "127.0.0.2" in shown.stdout
    assert len(relay.listed("connector", "list")) == 4
    assert relay.relayctl("connector", "show", "None such").returncode == 1
    for command in (["queue", "list"], ["message", "list"], ["status"]):
        done = relay.relayctl(*command)
        assert done.returncode == 3, command
        assert "Traceback" not in done.stderr
    assert relay.relayctl("queue", "lisst").returncode == 2
    assert relay.relayctl("nonsense").returncode == 2
    relay.configuration["nonsense"] = 1
    relay.write()
    broken = relay.relayctl("check")
    assert broken.returncode == 1
    assert "relay.yaml:" in broken.stdout + broken.stderr
    relay.close()


def test_the_modes_of_the_state_directory(site: Site) -> None:
    """The control socket for the owner's group, the spool for the owner alone."""
    assert stat.S_IMODE((site.relay.state / "control").stat().st_mode) == 0o750
    assert stat.S_IMODE((site.relay.state / "spool").stat().st_mode) == 0o700
