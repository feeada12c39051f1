"""Holes of the receiving side that were found by attacking it, each with the attack."""

from __future__ import annotations

import re
import time
from base64 import b64encode

import pytest
from twisted.internet.defer import fail

from tests.net.relay import PASSWORD, Relay
from twistedrelay.config.schema import Server
from twistedrelay.delivery.downgrade import Survey
from twistedrelay.net.proxy import HEADER_TIMEOUT
from twistedrelay.policy.lockout import Lockout
from twistedrelay.values import events
from twistedrelay.values.netrange import parse_ip
from twistedrelay.wire.traced import TracedServer

BALANCER = "10.0.0.9"
EVERYBODY = {"max_inbound_connection_per_source": "unlimited", "max_inbound_connection_percentage_per_source": 100}
ENVELOPE = b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<user@akkaya.local>\r\n"


# -- connections ---------------------------------------------------------------------------------------------------------


def test_a_probe_that_speaks_before_it_is_taken_for_one_begins_once() -> None:
    """A session that began twice stayed for ever: nobody tells it that its connection is lost."""
    relay = Relay({"Default Frontend": {"proxy_protocol_from": [BALANCER], "health_probe_from": [BALANCER]}})
    client = relay.connect(BALANCER)
    client.send(b"NOOP\r\n")
    session = client.session
    relay.pass_time(1, 0.1)
    assert client.session is session
    assert client.said().count("220 ") == 1
    client.transport.close()
    assert relay.sessions.count() == relay.counts.open == 0


@pytest.mark.parametrize("last", [b"", b"QUIT\r\n", b"MAIL FROM:<a@b.example>\r\n", b"BDAT 5\r\nx", b"\xff" * 5000, b"PROXY TCP4 "])
@pytest.mark.parametrize("first", [b"", b"PROXY UNKNOWN\r\n", b"PROXY TCP4 203.0.113.7 192.0.2.25 1 25\r\n", b"EHLO x\r\n", b"PROXY "])
@pytest.mark.parametrize("limit", [1, 5])
def test_no_count_is_lost_or_given_back_twice(first: bytes, last: bytes, limit: int) -> None:
    given = {"proxy_protocol_from": [BALANCER], "health_probe_from": [BALANCER, "10.0.0.7"], "xclient_from": ["203.0.113.0/24"]}
    relay = Relay({"Default Frontend": {**given, "max_inbound_connection_per_source": limit}})
    xclient = b"EHLO x\r\nXCLIENT ADDR=192.0.2.77\r\n"
    for peer in (BALANCER, "10.0.0.7", "203.0.113.7"):
        clients = [relay.connect(peer) for _ in range(3)]
        for client in clients:
            client.send(first)
            client.send(xclient)
            client.send(last)
        relay.pass_time(HEADER_TIMEOUT + 1, 0.5)
        for client in clients:
            client.transport.close()
    assert relay.sessions.count() == relay.counts.open == relay.counts.total("Default Frontend") == relay.buffers.used == 0
    assert not relay.counts._by_source


def test_a_probe_under_tls_that_turns_out_to_be_a_client_is_logged_with_its_tls() -> None:
    relay = Relay({"Default Frontend": {"health_probe_from": [BALANCER]}})
    client = relay.connect(BALANCER)
    client.session.facts.tls_version, client.session.facts.tls_cipher = "TLSv1.3", "TLS_AES_256_GCM_SHA384"
    client.send(ENVELOPE)
    assert [event.version for event in relay.events.of(events.TLSStarted)] == ["TLSv1.3"]


def test_tarpits_one_after_the_other_end_with_connection_timeout() -> None:
    relay = Relay({"Default Frontend": {"tarpit_interval": "5s", "connection_timeout": "600s", "max_protocol_errors": "unlimited"}})
    client = relay.connect()
    client.send(b"EHLO x\r\n" + b"MAIL FROM:<@>\r\n" * 2000)
    relay.pass_time(605)
    assert client.is_closing or client.transport.closed
    assert client.codes()[-1] == 421


# -- memory --------------------------------------------------------------------------------------------------------------


def test_recipients_take_their_place_in_memory() -> None:
    relay = Relay({"Default Frontend": {**EVERYBODY, "max_recipients_per_message": 5000}}, max_buffered_size=2**20)
    clients = [relay.connect() for _ in range(3)]
    for client in clients:
        client.send(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\n")
        for number in range(40):
            client.send(b"".join(b"RCPT TO:<user%d-%d@akkaya.local>\r\n" % (number, each) for each in range(10)))
    assert relay.buffers.full
    for client in clients:
        client.send(b"RSET\r\n")
        client.transport.close()
    assert relay.buffers.used == 0


def test_messages_of_those_who_left_are_still_held() -> None:
    """Whoever sends a message and leaves at once has room for the next one only when the disk has taken the first."""
    relay = Relay({"Default Frontend": EVERYBODY}, max_buffered_size=2**20)
    relay.spool.held = []
    codes = []
    for _ in range(20):
        client = relay.connect()
        client.send(ENVELOPE + b"DATA\r\n")
        codes.append(client.codes()[-1])
        if codes[-1] == 354:
            client.send(b"Subject: x\r\n\r\n" + b"x" * 200_000 + b"\r\n.\r\n")
        client.transport.close()
    assert 452 in codes
    assert relay.buffers.used > 2**20
    for stored in relay.spool.held:
        stored.callback(None)
    assert relay.buffers.used == 0
    assert not relay.buffers.full


def test_nobody_is_sent_away_whose_message_is_being_stored() -> None:
    """The message is accepted all the same, and after a 421 it would come a second time."""
    relay = Relay({"Default Frontend": EVERYBODY}, max_buffered_size=2**20)
    relay.spool.held = []
    client = relay.connect().begin()
    client.send(b"Subject: x\r\n\r\n" + b"x" * 1_200_000 + b"\r\n.\r\n")
    relay.pass_time(30)
    assert relay.buffers.full
    assert client.said() == ""
    relay.spool.held[0].callback(None)
    assert client.codes() == [250]
    assert relay.buffers.used == 0


# -- logins --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Cengiz", "ANY\\cengiz", "ｃｅｎｇｉｚ", "cengíz", "cengiz ", "ＣＥＮＧＩＺ"])
def test_other_spellings_of_a_name_are_not_other_guesses(name: str) -> None:
    """Directories compare names so that all of these may be one account."""
    relay = Relay()
    lockout = Lockout(relay.clock, Server(name="A", fqdn="a.example", state_directory="/x", logon_lockout_threshold=2))
    peer = parse_ip("192.0.2.1")
    for _ in range(2):
        lockout.failed(peer, "cengiz")
    assert lockout.is_locked(peer, name)
    assert not lockout.is_locked(peer, "cengizhan")


def test_guesses_that_nobody_could_judge_are_delayed_too() -> None:
    """While one of several checkers is broken, the others have still looked at the password."""
    relay = Relay({"Default Frontend": {"auth_tarpit_interval": "5s"}})
    client = relay.connect()
    client.command("EHLO x")
    relay.users.answer = lambda: fail(OSError("the directory"))
    assert client.login() == ""
    relay.pass_time(6)
    assert client.codes() == [454]


SECRET = b64encode(PASSWORD.encode())


def _told(lines: bytes) -> str:
    """All that is logged of a session, its protocol log included."""
    relay = Relay({"Default Frontend": {"protocol_logging_level": "Verbose"}})
    told: list[str] = []
    client = relay.connect()
    session = client.session
    engine = TracedServer(session.engine.settings, lambda direction, text: told.append(text))
    engine.greet(relay.factories[0].choose(session.facts.local, session.facts.peer).banner(0))
    session.engine = engine
    client.send(b"EHLO x\r\n" + lines)
    return repr(told) + repr(relay.events)


@pytest.mark.parametrize(
    "lines",
    [
        b"AUTH LOGIN\r\n" + b"A" * 20_000 + b"\r\n" + SECRET + b"\r\n",
        b"AUTH LOGIN " + b"A" * 20_000 + b"\r\n" + SECRET + b"\r\n",
        b"AUTH PLAIN " + b64encode(b"\0cengiz@akkaya.local\0" + PASSWORD.encode()) + b"\r\nAUTH LOGIN\r\nVXNlcg==\r\n" + SECRET + b"\r\n",
        b"AUTH LOGIN\r\n*\r\n" + SECRET + b"\r\n",
        b"AUTH " + SECRET + b"\r\n" + SECRET + b"\r\n",
        b"MAIL FROM:<a@b.example>\r\nAUTH LOGIN\r\nVXNlcg==\r\n" + SECRET + b"\r\n",
    ],
)
def test_no_secret_of_a_client_that_is_out_of_step_is_logged(lines: bytes) -> None:
    said = _told(lines)
    assert "EHLO x" in said
    assert SECRET.decode() not in said


# -- time ----------------------------------------------------------------------------------------------------------------


def _seconds(content: bytes) -> float:
    start = time.thread_time()
    survey = Survey("7bit")
    for at in range(0, len(content), 65536):
        survey.feed(content[at : at + 65536])
    survey.finish()
    return time.thread_time() - start


NESTED = b"".join(b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (level, level) for level in range(49))


@pytest.mark.parametrize(
    "content",
    [
        b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="' + b";" * 250_000 + b"\r\n\r\nx\r\n",
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed" + b";a=b" * 60_000 + b"\r\n\r\nx\r\n",
        b"MIME-Version: 1.0\r\n" + NESTED + b"Content-Type: text/plain\r\n\r\n" + b"--\r\n" * 250_000,
    ],
)
def test_content_does_not_cost_the_square_of_its_size(content: bytes) -> None:
    """Each of these took from seconds to minutes of a thread, and the reactor's with it."""
    assert _seconds(content) < 2.5


# -- header sections -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "field",
    [
        b"\0X-TwistedRelay-Trust: yes",
        b"X-Twisted\0Relay-Trust: yes",
        b"X-TwistedRelay-Trust\0: yes",
        b"X-TwistedRelay-Trust\r\n : yes",
        b"Authentication-Results\0: relay.akkaya.local; spf=pass",
        b"Authentication-Results\t:\r\n relay.akkaya.local; spf=pass",
        b"Authentication-Results: relay(c).akkaya.local; spf=pass",
        b"X: y\rX-TwistedRelay-Trust: yes",
        b"X: y\nAuthentication-Results: relay.akkaya.local; spf=pass",
    ],
)
def test_binary_header_sections_pass_the_firewall_no_easier(field: bytes) -> None:
    """BODY=BINARYMIME lets NULs and bare line ends through, which a next hop may read in its own way: not in a header section."""
    relay = Relay()
    client = relay.connect()
    content = b"Subject: x\r\n" + field + b"\r\n\r\nx"
    client.send(b"EHLO x\r\nMAIL FROM:<a@b.example> BODY=BINARYMIME\r\nRCPT TO:<user@akkaya.local>\r\n")
    client.send(b"BDAT %d LAST\r\n" % len(content) + content)
    if re.search(rb"\r(?!\n)|(?<!\r)\n|\0", field):
        assert client.codes()[-1] == 550
        assert relay.spool.stored == []
        return
    assert client.codes()[-1] == 250
    got = relay.spool.contents[0].octets
    assert b"trust" not in got.lower()
    assert b"spf" not in got


@pytest.mark.parametrize("line", [b"BDAT\t46 LAST", b"BDATA 46 LAST", b"bdat\x0b46 LAST", b"BDAT46 LAST"])
def test_octets_behind_what_may_be_bdat_are_no_commands(line: bytes) -> None:
    relay = Relay()
    client = relay.connect()
    client.send(ENVELOPE + line + b"\r\nRSET\r\nMAIL FROM:<evil@b.example>\r\nRCPT TO:<user@akkaya.local>\r\nDATA\r\n")
    assert client.codes() == [220, 250, 250, 250, 500]
    assert client.is_closing
