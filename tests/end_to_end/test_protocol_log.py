"""The protocol log of the real daemon: whole dialogues, no secret, all of it on the disk when the relay has stopped."""

from __future__ import annotations

import base64
import csv
import datetime
import os
import re
import smtplib

from tests.end_to_end.relay import Relay, article
from tests.end_to_end.sink import Sink
from tests.network import LOOPBACK, PATIENCE, eventually, unverified

PASSWORD = "correct horse battery"
ADDRESS = "scanner@akkaya.local"


def test_a_dialogue_is_logged_without_its_secrets() -> None:
    """A login that fails, one that succeeds, a message; the other connectors leave no trace."""
    with Sink() as mailbox:
        configuration, ports = article(mailbox.hop)
        configuration["receive_connectors"]["Client Frontend"]["protocol_logging_level"] = "Verbose"
        relay = Relay(configuration, ports)
        with relay:
            relay.add_user(ADDRESS, PASSWORD)
            relay.submit(["user@akkaya.local"])
            for password in ("a wrong guess", PASSWORD):
                with smtplib.SMTP(LOOPBACK, ports["submission"], "copier", timeout=PATIENCE) as client:
                    client.starttls(context=unverified())
                    client.ehlo()
                    word = base64.b64encode(f"\0{ADDRESS}\0{password}".encode()).decode()
                    code = client.docmd("AUTH", f"PLAIN {word}")[0]
                    if code == 235:
                        client.sendmail(ADDRESS, ["user@akkaya.local"], b"Subject: confidential\r\n\r\nsecret body\r\n")
            directory = relay.state / "logs" / "protocol"
            eventually(
                lambda: directory.exists() and "QUIT" in "".join(file.read_text() for file in directory.iterdir()),
                "lines come by themselves",
            )
            relay.stop()
            text = "".join(file.read_text() for file in sorted(directory.iterdir()))
    rows = list(csv.reader(line for line in text.splitlines() if not line.startswith("#")))
    assert all(len(row) == 9 for row in rows)
    assert {row[1] for row in rows} == {"EXCSERVER\\Client Frontend"}
    sessions = {row[2]: [other for other in rows if other[2] == row[2]] for row in rows}
    *_, refused, accepted = [found for found in sessions.values() if any(row[7] == "STARTTLS" for row in found)]
    for found in (refused, accepted):
        assert [int(row[3]) for row in found] == list(range(len(found)))
        assert (found[0][6], found[-1][6], found[-1][8]) == ("+", "-", "QUIT")
        assert "AUTH PLAIN <authentication response>" in [row[7] for row in found]
    assert any(row[7].startswith("535 ") for row in refused)
    assert [row[8] for row in accepted if row[7] == ADDRESS] == ["authenticated"]
    assert f"mail FROM:<{ADDRESS}>" in " ".join(row[7] for row in accepted)
    for secret in (PASSWORD, "wrong guess", "confidential", "secret body", base64.b64encode(PASSWORD.encode()).decode()[4:-4]):
        assert secret not in text


def test_a_disk_that_hangs_holds_up_neither_mail_nor_the_end() -> None:
    """Pipes that nobody reads stand in for log files on a server that went away: what is written beyond their room never returns."""
    with Sink() as mailbox:
        configuration, ports = article(mailbox.hop)
        configuration["receive_connectors"]["IP_Relay"]["protocol_logging_level"] = "Verbose"
        relay = Relay(configuration, ports)
        directory = relay.state / "logs" / "protocol"
        directory.mkdir(parents=True)
        now = datetime.datetime.now(datetime.UTC)
        for hours in range(3):
            os.mkfifo(directory / f"RECV{now + datetime.timedelta(hours=hours):%Y%m%d%H}-1.LOG")
        with relay:
            with relay.dialogue(source="127.0.0.2") as session:
                session.command("EHLO client")
                for _ in range(600):
                    session.command("NOOP " + "x" * 200)
            relay.submit(["user@akkaya.local"])
            eventually(lambda: mailbox.for_recipient("user@akkaya.local"), "mail goes on")
            assert relay.stop() == 0
            assert re.search(r"warn: the protocol log could not be written within 2 s, and the last \d+ entries are lost", relay.output())
