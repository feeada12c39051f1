"""kill -9 at random moments: what was acknowledged arrives.

Several sessions send numbered messages without a pause while the daemon is killed and started again, on one spool.  The oracle: every
message whose end of data was answered 250 arrives, at least once, whole; and what arrives was handed to the relay: nothing is made up.
One session speaks DATA, one BDAT in chunks of any size, one LMTP, one LMTP with BDAT.  Half of the mail leaves by a send connector that
rewrites senders, also in the header; some has less priority; messages and queues are suspended, redirected and resubmitted meanwhile, and
the configuration changes: where mail goes, and whether there is back pressure.  What was delivered is in the safety net; no message is
blamed for a kill; and more copies than warnings there never are.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import random
import re
import signal
import threading
import time
from collections import Counter
from urllib.parse import quote

import pytest

from tests.end_to_end.relay import Relay, article
from tests.end_to_end.sink import Sink
from tests.network import LOOPBACK, PATIENCE, Dialogue, eventually, free_port
from twistedrelay.control.client import Refused

#: Some bodies are larger than what the spool keeps inline, so that files are in play too.
SIZES = (200,) * 20 + (4_000,) * 20 + (60_000,) * 4 + (400_000,)


LEVELS = ("low_to_medium", "medium_to_high", "high_to_medium", "medium_to_low")


class Sender(threading.Thread):
    """Sends numbered messages, each in a transaction of its own, and connects again whenever the connection breaks.

    @ivar tried: the numbers of all messages whose content was begun.
    @ivar acknowledged: the numbers of those answered 250.
    """

    def __init__(self, port: int, first: int, *, lmtp: bool = False, chunked: bool = False) -> None:
        super().__init__(daemon=True)
        self.tried: set[int] = set()
        self.acknowledged: set[int] = set()
        self.refused: list[str] = []
        self.ending = threading.Event()
        self._port = port
        self._lmtp = lmtp
        self._chunked = chunked
        self._next = first
        self._random = random.Random(first)

    def run(self) -> None:
        """Until told to end."""
        while not self.ending.is_set():
            try:
                with Dialogue(self._port) as session:
                    session.command("LHLO sender" if self._lmtp else "EHLO sender")
                    while not self.ending.is_set():
                        self._send(session)
            except (OSError, EOFError):
                time.sleep(0.02)

    def _send(self, session: Dialogue) -> None:
        number = self._next
        self._next += 1
        self.tried.add(number)
        octets = content(number, self._random.choice(SIZES))
        envelope = "sender@client.example", [f"n{number}@{'outside.example' if number % 2 else 'akkaya.local'}"]
        said = session.message(*envelope, octets) if not self._chunked else in_chunks(session, *envelope, octets, self._random)
        if said.startswith("250"):
            self.acknowledged.add(number)
        elif not said.startswith("4"):
            self.refused.append(said)
            self.ending.set()
        else:
            session.command("RSET")


def in_chunks(session: Dialogue, sender: str, recipients: list[str], octets: bytes, chance: random.Random) -> str:
    """A whole transaction by BDAT, with up to ten chunks, all sent at once; the reply that decides."""
    session.send(b"MAIL FROM:<%s>\r\n" % sender.encode() + b"".join(b"RCPT TO:<%s>\r\n" % each.encode() for each in recipients))
    ends = sorted(chance.randrange(len(octets)) for _ in range(chance.randrange(10)))
    chunks = [octets[start:end] for start, end in itertools.pairwise([0, *ends, len(octets)])]
    for at, chunk in enumerate(chunks):
        session.send(b"BDAT %d%s\r\n" % (len(chunk), b" LAST" * (at == len(chunks) - 1)) + chunk)
    said = [session.reply() for _ in range(1 + len(recipients) + len(chunks))]
    return next((each for each in said if each[0] != "2"), said[-1])


def content(number: int, size: int) -> bytes:
    """A message that says its number and the digest of its body."""
    line = f"{number} ".encode() * 12 + b"\r\n"
    body = line * (size // len(line))
    fields = f"Subject: {number}\r\nX-Digest: {hashlib.sha256(body).hexdigest()}\r\nFrom: sender@client.example\r\n"
    return f"{fields}{'X-Priority: 5' if number % 5 == 0 else 'X-Other: 5'}\r\n\r\n".encode() + body


def number_of(delivered: bytes) -> int:
    """The number of a message that arrived; that it is whole is checked on the way."""
    header, _, body = delivered.partition(b"\r\n\r\n")
    digest = re.search(rb"(?m)^X-Digest: (\w+)\r?$", header)
    number = re.search(rb"(?m)^Subject: (\d+)\r?$", header)
    assert digest is not None
    assert number is not None
    assert hashlib.sha256(body).hexdigest() == digest[1].decode(), f"message {number[1]!r} is not whole"
    return int(number[1])


def set_aside(relay: Relay, chance: random.Random, other: Sink) -> None:
    """Suspend some of what waits, redirect some, and let some be routed again."""
    for row in relay.queues():
        queue = f"/v1/queues/{quote(row['identity'], safe='')}"
        with contextlib.suppress(Refused):  # it may be gone meanwhile
            if row["redirected_to"]:
                relay.control.delete(f"{queue}/redirect")
            elif row["status"] == "Retry" and (deed := chance.random()) < 0.9:
                if deed < 0.4:
                    relay.control.suspend_queue(row["identity"])
                elif deed < 0.7:
                    relay.control.post(f"{queue}/redirect", query={"to": f"{LOOPBACK}:{other.port}"})
                else:
                    relay.control.post(f"{queue}/retry", query={"resubmit": "true"})
    for message in itertools.islice(relay.control.messages(), 3):
        with contextlib.suppress(Refused):
            relay.control.suspend_message(message["id"])
    ids = [row["id"] for page in itertools.islice(relay.control.pages("/v1/messages"), 1) for row in page][:20]
    relay.control.post("/v1/messages/changes", {"action": "redirect", "ids": ids, "to": f"{LOOPBACK}:{other.port}"})


def change(relay: Relay, chance: random.Random, *sinks: Sink) -> None:
    """Another configuration, which the daemon that runs takes over if it has the time."""
    relay.configuration["accepted_domains"]["akkaya.local"]["next_hop"] = chance.choice(sinks).hop
    relay.configuration["send_connectors"]["Outside"]["smart_hosts"] = [chance.choice(sinks).hop]
    transport = relay.configuration["transport"]
    if chance.random() < 0.3:
        transport["back_pressure"] = {"resource_monitoring_interval": "100ms", "private_bytes": dict.fromkeys(LEVELS, 0)}
    relay.write()
    transport.pop("back_pressure", None)
    assert relay.process is not None
    relay.process.send_signal(signal.SIGHUP)
    time.sleep(chance.uniform(0.0, 0.5))
    relay.write()


def let_all_go_on(relay: Relay) -> None:
    """Resume all that was suspended; a message that is left for it being poison would never leave."""
    for row in relay.queues(status="Suspended"):
        relay.control.resume_queue(row["identity"])
    for message in list(relay.control.messages()):
        if message["status"] == "Suspended":
            relay.control.resume_message(message["id"])


@pytest.mark.slow
def test_what_was_acknowledged_arrives(request: pytest.FixtureRequest) -> None:
    """See the module; C{--kills N} sets the number of rounds."""
    rounds = int(request.config.getoption("--kills"))
    moments = random.Random(rounds)
    arrived: Counter[int] = Counter()
    damaged: list[str] = []

    def check(octets: str) -> None:
        try:
            number = number_of(octets.encode("latin-1"))
            arrived[number] += 1
            if ("\r\nFrom: relay@akkaya.local\r\n" in octets) != bool(number % 2):
                damaged.append(f"message {number} has the wrong author")
        except AssertionError as problem:
            damaged.append(str(problem))

    with Sink(recording=False) as sink, Sink(recording=False) as other:
        sink.on("end", check)
        other.on("end", check)
        configuration, ports = article(sink.hop)
        ports["lmtp"] = free_port()
        configuration["transport"]["safety_net_hold_time"] = "1d"
        configuration["send_connectors"] = {
            "Outside": {
                "address_spaces": ["*"],
                "smart_hosts": [sink.hop],
                "sender_rewrite": {"*@client.example": "relay@akkaya.local"},
                "sender_rewrite_headers_enabled": True,
            }
        }
        connector = configuration["receive_connectors"]["Default Frontend"]
        connector |= {"extended_rights": {"Anonymous Logon": ["Accept-Any-Recipient"]}, "x_priority_enabled": True}
        configuration["receive_connectors"]["LMTP"] = {**connector, "bindings": [f"{LOOPBACK}:{ports['lmtp']}"], "protocol": "LMTP"}
        with Relay(configuration, ports) as relay:
            senders = [
                Sender(ports["lmtp" if lmtp else "relay"], (2 * lmtp + chunked) * 10_000_000, lmtp=lmtp, chunked=chunked)
                for lmtp in (False, True)
                for chunked in (False, True)
            ]
            for sender in senders:
                sender.start()
            for _ in range(rounds):
                time.sleep(moments.uniform(0.05, 0.8))
                if moments.random() < 0.3:  # now and then with a queue: the next hop is away
                    sink.stop()
                    time.sleep(moments.uniform(0.0, 0.2))
                    set_aside(relay, moments, other)
                if moments.random() < 0.3:
                    change(relay, moments, sink, other)
                relay.kill()
                relay.start()
                if not sink.listening:
                    sink.start()
            for sender in senders:
                sender.ending.set()
            for sender in senders:
                sender.join(PATIENCE)
            let_all_go_on(relay)
            eventually(relay.is_empty, "everything is delivered", 300)
            kept = {int(who.partition("@")[0][1:]) for row in relay.control.kept({}) for who in row["recipients"]}
            log = relay.output()
    assert [said for sender in senders for said in sender.refused] == []
    tried = set().union(*(sender.tried for sender in senders))
    acknowledged = set().union(*(sender.acknowledged for sender in senders))
    assert damaged == []
    for sender in senders:
        assert len(sender.acknowledged) >= rounds / 4, "the senders hardly got through: the test says nothing"
    assert acknowledged - set(arrived) == set(), "acknowledged, but lost"
    assert set(arrived) - tried == set(), "arrived, but never sent"
    warnings = sum(map(int, re.findall(r"uncertain: the last run did not end in good order; those of (\d+) due\b", log)))
    warnings += len(re.findall(r"uncertain: message \d+ may have reached", log))
    assert arrived.total() - len(arrived) <= warnings, "a copy too many"
    assert acknowledged - kept == set(), "delivered, but not in the safety net"
    assert "POISONMESSAGE" not in log, "blamed for a kill"
