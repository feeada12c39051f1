"""Mail by file and by C{twistedrelay-sendmail}, with the real daemon and programs that call C{sendmail}."""

from __future__ import annotations

import collections
import os
import random
import re
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.accounts import Program
from tests.end_to_end.relay import Relay, article, child_environment
from tests.end_to_end.sink import Delivered, Sink
from tests.network import PATIENCE, eventually

NOBODY = 65534


def relay_with(sink: Sink, **transport: Any) -> Relay:
    """The article's relay with both directories, in its own."""
    configuration, ports = article(sink.hop, sink.hop)
    directories = {"pickup_directory_path": "pickup", "replay_directory_path": "replay"}
    configuration["transport"] |= directories | {"pickup_directory_max_messages_per_minute": 20000} | transport
    return Relay(configuration, ports)


def sendmail(relay: Relay) -> Path:
    """The command, as a program that others can call."""
    path = relay.directory / "sendmail"
    main = "import sys; from twistedrelay.pickup.sendmail import main; main()"
    path.write_text(f"#!/bin/sh\nexport RELAYCTL_CONFIG={relay.file}\nexec {sys.executable} -c '{main}' \"$@\"\n")
    path.chmod(0o755)
    return path


def call(relay: Relay, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command as another program would."""
    return _run([str(sendmail(relay)), *arguments], text)


def call_as_nobody(relay: Relay, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """The same as somebody without rights; the interpreter may be root's alone, so it lets them go by itself."""
    drop = f"import os; os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})"
    ready = "import sys, encodings.idna; from twistedrelay.config.load import load; load(sys.argv[2])"  # what is imported late
    ready += "; from twistedrelay.pickup.sendmail import main"
    main = f"{ready}; {drop}; main()"
    return _run([sys.executable, "-c", main, "--config", str(relay.file), *arguments], text)


def _run(command: list[str], text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, input=text, capture_output=True, text=True, check=False, timeout=PATIENCE, env=child_environment(), cwd="/"
    )


def with_subject(sink: Sink, subject: str) -> list[Delivered]:
    return [one for one in list(sink.delivered) if f"Subject: {subject}\r\n".encode() in one.content]


def test_the_directories() -> None:
    """Files are sent and gone; what cannot be sent is set aside and told of."""
    with Sink() as sink, relay_with(sink) as relay:
        pickup, replay = relay.directory / "pickup", relay.directory / "replay"
        assert stat.S_IMODE(pickup.stat().st_mode) == stat.S_IMODE(replay.stat().st_mode) == 0o2770
        (pickup / "a.eml").write_text("From: a@akkaya.local\nTo: b@outside.example\nBcc: hid@akkaya.local\nSubject: picked up\n\n.hello\n")
        (pickup / "b.eml").write_text("hello\n")
        (replay / "c.eml").write_text(
            "X-Sender: <> BODY=8BITMIME\nX-Receiver: d@akkaya.local NOTIFY=NEVER\nSubject: replayed\n\nh\u00e4llo"
        )
        eventually(lambda: len(with_subject(sink, "picked up")) == 2 and with_subject(sink, "replayed"), "both are sent")
        eventually(lambda: os.listdir(pickup) == ["b.bad"] and not os.listdir(replay), "the files are gone")
        assert {who for one in with_subject(sink, "picked up") for who in one.recipients} == {"b@outside.example", "hid@akkaya.local"}
        assert all(b"hid@" not in one.content and b"\r\n.hello\r\n" in one.content for one in with_subject(sink, "picked up"))
        [replayed] = with_subject(sink, "replayed")
        assert replayed.sender == "" and "BODY=8BITMIME" in replayed.mail_parameters and "NOTIFY=NEVER" in replayed.recipient_parameters[0]
        assert "b.eml cannot be sent and is now b.bad: it has no header section" in relay.output()
        assert "source=PICKUP" in relay.output()


def test_a_large_file() -> None:
    """Twenty megabytes go through in pieces."""
    with Sink() as sink, relay_with(sink) as relay:
        body = b"0123456789" * 7 + b"\n"
        new = relay.directory / "pickup" / "large.new"
        new.write_bytes(b"From: a@akkaya.local\nTo: b@akkaya.local\nSubject: large\n\n" + body * 280_000)
        new.rename(new.with_suffix(".eml"))
        [one] = eventually(lambda: with_subject(sink, "large"), "it is sent")
        assert one.content.endswith(b"\r\n\r\n" + body.replace(b"\n", b"\r\n") * 280_000)


def test_programs_that_call_sendmail(program: Program) -> None:
    """cron, PHP's mail(), mutt, s-nail and Python, with the options that they use."""
    with Sink() as sink, relay_with(sink) as relay:
        command = str(sendmail(relay))
        cron = "From: root (Cron Daemon)\nTo: root\nSubject: cron\nAuto-Submitted: auto-generated\n\noutput\n"
        assert call(relay, "-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", "root", text=cron).returncode == 0
        assert call(relay, "-t", "-i", "-fwww@akkaya.local", text="To: a@outside.example\nSubject: php\n\n.\nhello\n").returncode == 0
        assert call(relay, "-oem", "-oi", "-N", "failure", "--", "m@outside.example", text="Subject: mutt\n\nhello\n").returncode == 0
        text = "To: p@akkaya.local\nSubject: python\n\nx"
        python = f"import subprocess; subprocess.run([{command!r}, '-t', '-oi'], input={text.encode()!r}, check=True)"
        subprocess.run([sys.executable, "-c", python], check=True, env=child_environment(), timeout=PATIENCE)
        snail = [program("s-nail"), "-:/", "-S", f"mta={command}", "-S", "sendwait", "-s", "s-nail", "s@akkaya.local"]
        done = subprocess.run(
            snail, input="hello\n", text=True, capture_output=True, check=False, env=child_environment(), timeout=PATIENCE
        )
        assert done.returncode == 0, done.stderr
        for subject in ("cron", "php", "mutt", "python", "s-nail"):
            [one] = eventually(lambda subject=subject: with_subject(sink, subject), f"the mail of {subject}")  # type: ignore[misc]
            for name in (b"From", b"Date", b"Message-ID"):
                assert len(re.findall(rb"^" + name + rb":", one.content, re.MULTILINE | re.IGNORECASE)) == 1, (subject, one.content)
        assert with_subject(sink, "cron")[0].recipients == ("root@akkaya.local",)
        assert with_subject(sink, "php")[0].sender == "www@akkaya.local" and b"\r\n.\r\nhello" in with_subject(sink, "php")[0].content
        assert with_subject(sink, "mutt")[0].recipient_parameters == ("NOTIFY=FAILURE ORCPT=rfc822;m@outside.example",)


def test_it_queues_while_the_relay_is_down() -> None:
    """A message is taken, and sent when the relay is there again."""
    with Sink() as sink:
        relay = relay_with(sink)
        with relay:
            pass_through = call(relay, "a@akkaya.local", text="Subject: first\n\n")
            assert pass_through.returncode == 0
            eventually(lambda: with_subject(sink, "first"), "the first is sent")
            relay.stop()
            assert call(relay, "a@akkaya.local", text="Subject: second\n\n").returncode == 0
            relay.start()
            eventually(lambda: with_subject(sink, "second"), "the second is sent")


def test_who_may_not_write_there_speaks_smtp() -> None:
    """Without the directory's group, mail goes to a connector; what it refuses is an exit status; so is a relay that is down."""
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    with Sink() as sink, relay_with(sink) as relay:
        relay.directory.chmod(0o755)
        replay = relay.directory / "replay"
        os.chown(replay, -1, NOBODY)
        assert call_as_nobody(relay, "a@akkaya.local", text="Subject: by group\n\n").returncode == 0
        [one] = eventually(lambda: with_subject(sink, "by group"), "the group's mail")
        assert b"(userid 65534)\r\n by relay.akkaya.local (Replay)" in one.content
        os.chown(replay, -1, 0)
        done = call_as_nobody(relay, "a@akkaya.local", text="Subject: by smtp\n\n")
        assert done.returncode == 0, done.stderr
        [one] = eventually(lambda: with_subject(sink, "by smtp"), "the other's mail")
        assert b"(connector Default Frontend)" in one.content
        done = call_as_nobody(relay, "a@outside.example", text="Subject: x\n\n")
        assert (done.returncode, "550 5.7.54" in done.stderr) == (os.EX_NOPERM, True)
        relay.stop()
        done = call_as_nobody(relay, "a@akkaya.local", text="Subject: x\n\n")
        assert (done.returncode, "does not answer" in done.stderr) == (os.EX_TEMPFAIL, True)
        relay.start()


def test_smtp_on_standard_input() -> None:
    """-bs."""
    with Sink() as sink, relay_with(sink) as relay:
        said = "EHLO me\nMAIL FROM:<a@x.org>\nRCPT TO:<b@akkaya.local>\nDATA\nSubject: by -bs\n\nhello\n.\nQUIT\n".replace("\n", "\r\n")
        done = call(relay, "-bs", text=said)
        assert done.returncode == 0 and done.stdout.startswith("220 ") and "354 " in done.stdout and done.stdout.count("221 ") == 1
        done = call(relay, "-bs", text="QUIT\r\n")
        assert (done.returncode, done.stdout.count("221 ")) == (0, 1)
        assert with_subject(sink, "by -bs") or eventually(lambda: with_subject(sink, "by -bs"), "it is sent")


def test_a_directory_for_everybody_is_refused() -> None:
    """It would be an open relay for whoever is on this machine."""
    with Sink() as sink:
        relay = relay_with(sink)
        (relay.directory / "pickup").mkdir()
        (relay.directory / "pickup").chmod(0o1777)
        found = relay.relayctl("check")
        assert found.returncode == 1 and "everybody may write there" in found.stdout + found.stderr
        relay.close()


def test_kills_lose_and_repeat_nothing() -> None:
    """kill -9 at random moments while files are taken: each of them is sent once."""
    chance = random.Random(20261122)
    with Sink() as sink:
        sink.stop()  # so that only the directory is tested: what is queued stays queued
        relay = relay_with(sink)
        (relay.directory / "pickup").mkdir(mode=0o770)
        for number in range(120):
            text = f"""\
                From: a@akkaya.local
                To: b@akkaya.local
                Subject: file {number}

                {"x" * chance.choice([10, 10, 200_000])}
                """
            (relay.directory / "pickup" / f"{number}.eml").write_text(textwrap.dedent(text))
        for _ in range(5):
            relay.start()
            time.sleep(chance.random() * 0.6)
            relay.kill()
        relay.configuration["transport"]["outbound_connection_failure_retry_interval"] = "1s"
        relay.write()
        relay.start()
        sink.start()
        eventually(lambda: not list((relay.directory / "pickup").iterdir()) and len(sink.delivered) >= 120, "all are sent")
        time.sleep(1.0)
        counts = collections.Counter(re.findall(rb"Subject: (file \d+)\r\n", b"".join(one.content for one in list(sink.delivered))))
        relay.close()
    assert len(counts) == 120 and set(counts.values()) == {1}, counts
