"""What a message came with goes on where the next hop knows it, and is converted, returned or reported where it does not."""

from __future__ import annotations

import email
import time
from collections.abc import Iterator
from typing import Any

import pytest
import trustme

from tests.end_to_end.authority import server_context
from tests.end_to_end.relay import Relay, article
from tests.end_to_end.sink import Delivered, Sink
from tests.end_to_end.site import Site
from tests.network import Dialogue, eventually

GERMAN = (
    "From: boss@example.test\r\nSubject: Test email\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    "Content-Transfer-Encoding: 8bit\r\n\r\nGrüße an alle, die dies lesen können.\r\n"
).encode()
BINARY = (
    b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n\x89PNG\r\n\x1a\n\0\xff.\n"
)
PLAIN = b"Subject: Test email\r\n\r\nTesting\r\n"


def send(
    relay: Relay,
    mail: str = "",
    rcpt: str = "",
    content: bytes = PLAIN,
    *,
    to: str = "user@akkaya.local",
    sender: str = "boss@example.test",
    chunked: bool = False,
) -> None:
    """One message with parameters."""
    with relay.dialogue(source="127.0.0.2") as session:
        _say(session, mail, rcpt, content, to, sender, chunked)


def _say(session: Dialogue, mail: str, rcpt: str, content: bytes, to: str, sender: str, chunked: bool) -> None:
    session.command("EHLO client.example.test")
    for line in (f"MAIL FROM:<{sender}> {mail}", f"RCPT TO:<{to}> {rcpt}"):
        said = session.command(line.strip())
        assert said.startswith("250"), f"{line}: {said}"
    if chunked:
        session.send(b"BDAT %d LAST\r\n" % len(content) + content)
    else:
        assert session.command("DATA").startswith("354")
        session.send(content + b".\r\n")
    said = session.reply()
    assert said.startswith("250"), said


def only(sink: Sink) -> Delivered:
    """The one message that a sink takes."""
    [message] = eventually(lambda: sink.delivered, "it arrives")
    return message


def body(message: Delivered) -> bytes:
    """Its decoded text."""
    decoded: Any = email.message_from_bytes(message.content).get_payload(decode=True)
    return bytes(decoded)


def report(message: Delivered) -> tuple[Any, Any]:
    """The fields of a report: of the message, and of its one recipient."""
    parsed: Any = email.message_from_bytes(message.content)
    _, status, _ = parsed.get_payload()
    of_message, of_recipient = status.get_payload()
    return of_message, of_recipient


@pytest.fixture
def site() -> Iterator[Site]:
    """The article's relay, with all that IP_Relay may offer; reports go to the outside sink."""
    with Sink() as mailbox, Sink() as outside:
        configuration, ports = article(mailbox.hop, outside.hop)
        configuration["receive_connectors"]["IP_Relay"] |= {
            "deliver_by_enabled": True,
            "future_release_enabled": True,
            "mt_priority_enabled": True,
        }
        with Relay(configuration, ports) as relay:
            yield Site(relay, mailbox, outside)


def offers(sink: Sink, *features: str) -> None:
    """From now on a sink offers other extensions, and forgets what it took; no kept connection remembers the old ones."""
    sink.stop()
    sink.features = ["PIPELINING", *features]
    sink.delivered.clear()
    sink.start()


def test_parameters_go_on(site: Site) -> None:
    """DSN, 8BITMIME, DELIVERBY and MT-PRIORITY to a next hop that knows them; no report is ours to send."""
    site.mailbox.features += ["DELIVERBY", "MT-PRIORITY"]
    mail = "BODY=8BITMIME RET=HDRS ENVID=QQ+2B31 BY=600;NT MT-PRIORITY=3"
    send(site.relay, mail, "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first+2Bx@example.test", GERMAN)
    taken = only(site.mailbox)
    words = taken.mail_parameters.split()
    assert set(words) >= {"BODY=8BITMIME", "RET=HDRS", "ENVID=QQ+2B31", "MT-PRIORITY=3"}
    [by] = [word for word in words if word.startswith("BY=")]
    assert by in {"BY=600;NT", "BY=599;NT", "BY=598;NT"}
    assert taken.recipient_parameters == ("NOTIFY=FAILURE,SUCCESS ORCPT=rfc822;first+2Bx@example.test",)
    assert taken.content.endswith(GERMAN)
    [traced] = eventually(lambda: site.outside.delivered, "the trace of DELIVERBY arrives")
    assert report(traced)[1]["Action"] == "relayed"


def test_a_success_is_relayed_to_a_next_hop_without_dsn(site: Site) -> None:
    site.mailbox.features.remove("DSN")
    send(site.relay, "ENVID=QQ+2B31", "NOTIFY=SUCCESS ORCPT=rfc822;first+2Bx@example.test")
    taken = only(site.mailbox)
    assert (taken.mail_parameters.split()[1:], taken.recipient_parameters) == ([], ("",))
    of_message, of_recipient = report(only(site.outside))
    assert of_message["Original-Envelope-Id"] == "QQ+31"
    assert of_recipient["Action"] == "relayed"
    assert of_recipient["Original-Recipient"] == "rfc822;first+x@example.test"
    assert of_recipient["Final-Recipient"] == "rfc822; user@akkaya.local"


def test_never_means_never(site: Site) -> None:
    site.mailbox.on("rcpt", "550 5.1.1 unknown")
    send(site.relay, "", "NOTIFY=NEVER")
    eventually(lambda: "given up without a report" in site.relay.output(), "it is given up")
    assert site.outside.delivered == []


def test_a_next_hop_without_8bitmime_gets_seven_bits(site: Site) -> None:
    site.mailbox.features.remove("8BITMIME")
    send(site.relay, "BODY=8BITMIME", "", GERMAN)
    taken = only(site.mailbox)
    assert taken.content.isascii()
    assert body(taken) == GERMAN.partition(b"\r\n\r\n")[2]
    assert "BODY" not in taken.mail_parameters
    eventually(lambda: " converted" in site.relay.output(), "the log says so")


def test_a_signed_message_that_would_have_to_be_converted_returns(site: Site) -> None:
    site.mailbox.features.remove("8BITMIME")
    signed = b"Content-Type: multipart/signed; boundary=b\r\nMIME-Version: 1.0\r\n\r\n--b\r\n\r\n\xc3\xbc\r\n--b--\r\n"
    send(site.relay, "BODY=8BITMIME", "", signed)
    assert report(only(site.outside))[1]["Status"] == "5.6.3"
    assert site.mailbox.delivered == []


def test_binary_content(site: Site) -> None:
    """Octet for octet by BDAT to a next hop that takes it, encoded to one that does not."""
    site.mailbox.features += ["CHUNKING", "BINARYMIME"]
    send(site.relay, "BODY=BINARYMIME", "", BINARY, chunked=True)
    taken = only(site.mailbox)
    assert taken.content.endswith(BINARY)
    assert "BODY=BINARYMIME" in taken.mail_parameters
    send(site.relay, "BODY=BINARYMIME", "", BINARY, to="user@example.test", chunked=True)
    encoded = only(site.outside)
    assert body(encoded) == BINARY.partition(b"\r\n\r\n")[2]


def test_international_addresses(site: Site) -> None:
    """To a next hop with SMTPUTF8 as they are; else only what can be said in ASCII."""
    site.mailbox.features.append("SMTPUTF8")
    content = "Subject: Grüße\r\n\r\nhallo\r\n".encode()
    send(site.relay, "SMTPUTF8 BODY=8BITMIME", "", content, to="grün@akkaya.local", sender="süd@example.test")
    taken = only(site.mailbox)
    assert (taken.sender, taken.recipients) == ("süd@example.test", ("grün@akkaya.local",))
    assert "SMTPUTF8" in taken.mail_parameters
    offers(site.mailbox, "8BITMIME")
    send(site.relay, "SMTPUTF8", "", PLAIN)
    assert "SMTPUTF8" not in only(site.mailbox).mail_parameters
    send(site.relay, "SMTPUTF8 BODY=8BITMIME", "", content)
    assert report(only(site.outside))[1]["Status"] == "5.6.9"
    site.outside.delivered.clear()
    send(site.relay, "SMTPUTF8", "", PLAIN, to="grün@akkaya.local")
    assert report(only(site.outside))[1]["Status"] == "5.6.7"


def test_a_by_time(site: Site) -> None:
    """Mode R: returned in time, and never lost on the way to a next hop that would not watch it."""
    send(site.relay, "BY=600;R")
    returned = report(only(site.outside))[1]
    assert (returned["Action"], returned["Status"]) == ("failed", "5.3.3")
    site.outside.delivered.clear()
    offers(site.mailbox, "DELIVERBY")
    site.mailbox.on("rcpt", "451 4.3.0 later")
    begun = time.monotonic()
    send(site.relay, "BY=4;R")
    returned = report(only(site.outside))[1]
    assert returned["Status"] == "5.4.7"
    assert time.monotonic() - begun > 3
    assert site.mailbox.delivered == []


def test_a_by_time_that_only_warns(site: Site) -> None:
    site.mailbox.on("rcpt", "451 4.3.0 later")
    site.mailbox.features.append("DELIVERBY")
    send(site.relay, "BY=2;N")
    assert report(only(site.outside))[1]["Action"] == "delayed"
    site.mailbox.on("rcpt", None)
    only(site.mailbox)


def test_a_held_message(site: Site) -> None:
    """It waits for its time, also over a restart, and the queue says why."""
    arrivals: list[float] = []
    site.mailbox.on("end", lambda content: arrivals.append(time.monotonic()))
    begun = time.monotonic()
    send(site.relay, "HOLDFOR=10")
    [waiting] = eventually(lambda: list(site.relay.control.messages()), "it is in the queue")
    assert waiting["last_error"].startswith("Held for its sender until ")
    assert site.relay.control.message(waiting["id"])["deferred_until"]
    site.relay.stop()
    site.relay.start()
    taken = only(site.mailbox)
    assert arrivals[0] - begun > 9
    assert "HOLD" not in taken.mail_parameters


def test_requiretls() -> None:
    """Only under TLS that proves the name, to a next hop that knows it; else it returns, with its header section alone."""
    authority = trustme.CA()
    with (
        Sink(tls=server_context(authority, "127.0.0.1")) as knows,
        Sink(tls=server_context(authority, "127.0.0.1")) as not_,
        Sink() as outside,
    ):
        knows.features.append("REQUIRETLS")
        configuration, ports = article(knows.hop, outside.hop)
        configuration["accepted_domains"]["not.test"] = {"next_hop": not_.hop}
        configuration["receive_connectors"]["IP_Relay"]["requiretls_enabled"] = True
        with authority.cert_pem.tempfile() as trusted, Relay(configuration, ports, environment={"SSL_CERT_FILE": trusted}) as relay:
            for to in ("user@akkaya.local", "user@not.test"):
                with relay.dialogue(source="127.0.0.2") as session:
                    session.command("EHLO client")
                    session.start_tls()
                    _say(session, "REQUIRETLS RET=FULL", "", PLAIN, to, "boss@example.test", False)
            taken = only(knows)
            assert (taken.secure, taken.mail_parameters.split()[-1]) == (True, "REQUIRETLS")
            returned = only(outside)
            assert report(returned)[1]["Status"] == "5.7.30"
            assert b"Testing" not in returned.content
            assert not_.delivered == []


def test_lmtp_and_maildir_deliver_for_good() -> None:
    """A success there is a delivery, and what is international or 8-bit needs no extension."""
    with Sink(lmtp=True) as lmtp, Sink() as outside:
        lmtp.features.remove("DSN")
        configuration, ports = article(lmtp.hop, outside.hop)
        configuration["accepted_domains"]["box.test"] = {"next_hop": "maildir:mail"}
        with Relay(configuration, ports) as relay:
            send(relay, "", "NOTIFY=SUCCESS")
            delivered = report(only(outside))[1]
            assert (delivered["Action"], delivered["Final-Recipient"]) == ("delivered", "rfc822; user@akkaya.local")
            outside.delivered.clear()
            send(relay, "SMTPUTF8 BODY=8BITMIME", "NOTIFY=SUCCESS", GERMAN, to="grün@box.test")
            delivered = report(only(outside))[1]
            assert (delivered["Action"], delivered["Final-Recipient"]) == ("delivered", r"utf-8; gr\x{FC}n@box.test")
            [file] = (relay.directory / "mail" / "new").iterdir()
            assert file.read_bytes().endswith(GERMAN.replace(b"\r\n", b"\n"))
