"""What the relay says last reaches its peer, and peers that do not listen keep no relay from stopping."""

from __future__ import annotations

import pytest

from tests.end_to_end.relay import Relay, article
from tests.end_to_end.sink import Sink
from tests.end_to_end.site import Site
from tests.network import PATIENCE, Dialogue, answers, eventually

SESSIONS = 200


def test_a_peer_in_the_middle_of_sending_hears_why_it_ends(site: Site) -> None:
    """All its commands can be sent, although only a few are read; the last word is there, and then the end."""
    with site.relay.dialogue() as session:
        session.command("EHLO client")
        session.send(b"NONSENSE\r\n" * 200_000)
        said = ""
        while not said.startswith("421"):
            said = session.reply()
        assert "max_protocol_errors" in said
        assert session.closed()


def test_who_goes_on_sending_for_ever_is_cut(site: Site) -> None:
    with site.relay.dialogue() as session:
        session.command("EHLO client")
        with pytest.raises(ConnectionError):
            session.send(b"NONSENSE\r\n" * 2_000_000)
    eventually(lambda: "disconnect" in site.relay.output(), "the session ends")


def test_idle_tls_sessions_do_not_hold_up_a_stop() -> None:
    """Their clients do not answer the close of TLS."""
    with Sink() as sink:
        configuration, ports = article(sink.hop)
        configuration["transport"]["shutdown_timeout"] = "10m"
        with Relay(configuration, ports) as relay:
            sessions = [relay.dialogue("submission") for _ in range(SESSIONS)]
            for session in sessions:
                session.command("EHLO client")
                session.start_tls()
            assert relay.stop() == 0  # long before C{shutdown_timeout}
            for session in sessions:
                assert session.reply().startswith("421")
                session.close()


def test_a_message_that_comes_in_slow_chunks_keeps_the_stop_waiting() -> None:
    """It is taken whole; one that does not come to its end in time is not."""
    with Sink() as sink:
        configuration, ports = article(sink.hop)
        configuration["transport"]["shutdown_timeout"] = "10s"
        with Relay(configuration, ports) as relay:
            assert relay.process is not None
            slow, stuck = (_begun(relay) for _ in range(2))
            relay.process.terminate()
            eventually(lambda: not answers(relay.port), "it accepts no more connections")
            slow.send(b"\r\nfirst\r\n")
            slow.reply()
            slow.send(b"BDAT 8 LAST\r\nsecond\r\n")
            said = slow.reply()
            assert said.startswith("250"), said
            assert relay.process.wait(PATIENCE) == 0
            relay.process = None
            stuck.close()
            relay.start()
            eventually(relay.is_empty, "everything is delivered")
            assert [message.content.rpartition(b"\r\n\r\n")[2] for message in sink.delivered] == [b"first\r\nsecond\r\n"]


def _begun(relay: Relay) -> Dialogue:
    session = relay.dialogue()
    for line in ("EHLO client", "MAIL FROM:<a@client.example>", "RCPT TO:<user@akkaya.local>"):
        assert session.command(line).startswith("250")
    session.send(b"BDAT 12\r\nSubject: x\r\n")
    assert session.reply().startswith("250")
    session.send(b"BDAT 9\r\n")
    return session
