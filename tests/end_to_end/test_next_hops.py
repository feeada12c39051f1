"""Delivery to other people's servers: Postfix's smtp-sink, Dovecot over LMTP, and a maildir."""

from __future__ import annotations

import grp
import os
import pwd
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.end_to_end.accounts import dovecot_command
from tests.end_to_end.relay import Relay, article
from tests.end_to_end.sink import Sink
from tests.end_to_end.tap import Tap
from tests.network import LOOPBACK, PATIENCE, answers, eventually, free_port
from tests.programs import environment

CONTENT = b"Subject: Test email\r\nMessage-ID: <one@akkaya.local>\r\n\r\n.Testing\r\n..\r\n"


def send(relay: Relay, recipient: str = "user@akkaya.local") -> None:
    """Put a message in."""
    with relay.dialogue() as session:
        session.command("ehlo client")
        assert session.message("cengiz@cozumpark.com", [recipient], CONTENT).startswith("250")


@contextmanager
def running(command: list[str], port: int, log: Path) -> Iterator[None]:
    """An unpacked server while it is needed."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment(), cwd=log.parent)
    try:
        eventually(lambda: answers(port) or process.poll() is not None, f"{command[0]} listens")
        assert process.poll() is None, log.read_text(errors="replace")
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)


def test_smtp_sink_takes_it(tmp_path: Path, program: Callable[[str], str]) -> None:
    """Postfix's own test server, which writes down what it got."""
    port = free_port()
    user = ["-u", "root"] if os.geteuid() == 0 else []
    command = [program("smtp-sink"), *user, "-d", str(tmp_path / "%M."), f"{LOOPBACK}:{port}", "100"]
    configuration, ports = article(f"{LOOPBACK}:{port}")
    with running(command, port, tmp_path / "log"), Relay(configuration, ports) as relay:
        send(relay)
        [dump] = eventually(lambda: [path for path in tmp_path.iterdir() if path.name != "log"], "smtp-sink writes it down")
        eventually(lambda: b"Testing" in dump.read_bytes(), "smtp-sink has all of it")
        text = dump.read_text()
        assert "X-Mail-Args: <cengiz@cozumpark.com>" in text
        assert "X-Rcpt-Args: <user@akkaya.local>" in text
        assert text.replace("\r\n", "\n").rstrip("\n").endswith("Subject: Test email\nMessage-ID: <one@akkaya.local>\n\n.Testing\n..")
        eventually(relay.is_empty, "the spool is empty")


_DOVECOT = """\
protocols = lmtp
base_dir = {base}/run
state_dir = {base}/state
log_path = /dev/stderr
ssl = no
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1
mail_location = maildir:{base}/mail/%n
lda_mailbox_autocreate = yes
mail_plugins = quota
plugin {{
  quota = maildir:User quota
}}
passdb {{
  driver = static
  args = nopassword
}}
userdb {{
  driver = passwd-file
  args = username_format=%n {base}/users
}}
service lmtp {{
  chroot =
  unix_listener {base}/lmtp {{
    mode = 0666
  }}
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
}}
"""


@pytest.fixture
def mailboxes() -> Iterator[Path]:
    """A directory that Dovecot's user may enter; pytest's own are closed to it."""
    with tempfile.TemporaryDirectory(prefix="mailboxes-") as made:
        directory = Path(os.path.realpath(made))
        directory.chmod(0o755)
        (directory / "mail").mkdir()
        (directory / "mail").chmod(0o777)
        yield directory


@pytest.mark.parametrize("over", ["network", "socket"])
def test_dovecot_takes_it_over_lmtp(mailboxes: Path, program: Callable[[str], str], over: str) -> None:
    """A real mailbox server, spoken to by LMTP; the message is in each user's maildir, octet for octet.

    Whose mailbox is full, and who has none, comes back to the sender, and costs the others nothing.  Dovecot offers
    CHUNKING, so the content goes by BDAT.
    """
    program("lmtp")
    port = free_port()
    file = mailboxes / "dovecot.conf"
    command = dovecot_command(file)
    user, group = "nobody", "nogroup"
    file.write_text(_DOVECOT.format(base=mailboxes, port=port, user=user, group=group))
    ids = f"{pwd.getpwnam(user).pw_uid}:{grp.getgrnam(group).gr_gid}"
    users = [f"{name}::{ids}::{mailboxes}/mail/{name}::" for name in ("user", "second")]
    users.append(f"full::{ids}::{mailboxes}/mail/full::userdb_quota_rule=*:bytes=10")
    (mailboxes / "users").write_text("".join(f"{line}\n" for line in users))
    with Sink() as outside:
        with running(command, port, mailboxes / "log"), Tap(port) as tap:
            hop = f"lmtp:{LOOPBACK}:{tap.port}" if over == "network" else f"lmtp:unix:{mailboxes}/lmtp"
            _deliver(Relay(*article(hop, outside.hop)), mailboxes)
            if over == "network":
                said = b"".join(tap.said)
                assert len(re.findall(rb"(?m)^BDAT \d+ LAST\r$", said)) == 2
                assert b"\nDATA\r\n" not in said
        reported = [re.findall(rb"(?m)^Final-Recipient: rfc822; (\S+)", report.content) for report in outside.delivered]
        assert (
            sorted(address for addresses in reported for address in addresses) == [b"full@akkaya.local"] * 2 + [b"nobody@akkaya.local"] * 2
        )


def _deliver(made: Relay, mailboxes: Path) -> None:
    with made as relay:
        for number in (1, 2):  # the second one over the same connection
            relay.submit([f"{name}@akkaya.local" for name in ("user", "full", "nobody", "second")], CONTENT, sender="boss@example.test")
            for name in ("user", "second"):
                mails = eventually(lambda name=name, number=number: delivered(mailboxes, name, number), "Dovecot has it")  # type: ignore[misc]
                assert all(mail.read_bytes().replace(b"\r\n", b"\n").endswith(CONTENT.replace(b"\r\n", b"\n")) for mail in mails)
        eventually(relay.is_empty, "the spool is empty")
        assert delivered(mailboxes, "full", 0) == []


def delivered(mailboxes: Path, name: str, count: int) -> list[Path]:
    """The messages of a user, once there are so many."""
    found = list((mailboxes / "mail" / name / "new").glob("*"))
    return found if len(found) == count else []


def test_a_maildir_takes_it() -> None:
    """The quick start's next hop; the file is complete once it is in C{new}, and ends lines as files on Unix do or as SMTP does."""
    configuration, ports = article("maildir:mail")
    with Relay(configuration, ports) as relay:
        send(relay)
        [mail] = eventually(lambda: list((relay.directory / "mail/new").glob("*")), "the maildir has it")
        assert mail.read_bytes().replace(b"\r\n", b"\n").endswith(CONTENT.replace(b"\r\n", b"\n"))
        assert list((relay.directory / "mail/tmp").iterdir()) == []
        assert time.time() - mail.stat().st_mtime < 600
        eventually(relay.is_empty, "the spool is empty")
