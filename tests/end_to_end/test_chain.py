"""Two relays in a row: what was said to the first one is said by the second, octet for octet."""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs
import pytest
import trustme

from tests.end_to_end.authority import server_context
from tests.end_to_end.relay import Configuration, Relay, article
from tests.end_to_end.sink import Delivered, Sink
from tests.network import Dialogue, eventually

EVERYTHING = {
    "deliver_by_enabled": True,
    "future_release_enabled": True,
    "mt_priority_enabled": True,
    "requiretls_enabled": True,
}
PLAIN = b"Subject: Test email\r\n\r\n.Testing\r\n..\r\n"
EIGHT_BIT = "From: süd@example.test\r\nSubject: Grüße\r\n\r\nGrüße an alle.\r\n".encode()
BINARY = b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\r\n.\r\nlone \n and \r, \xff, no end of line"


@attrs.frozen
class Chain:
    """A client's relay, the one behind it, and the last hop; reports go to C{outside}."""

    first: Relay
    second: Relay
    sink: Sink
    outside: Sink


def _capable(configuration: Configuration) -> Configuration:
    for connector in configuration["receive_connectors"].values():
        connector.update(EVERYTHING)
    return configuration


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    """All speak TLS with certificates of one authority, which all trust."""
    authority = trustme.CA()
    with Sink(tls=server_context(authority, "127.0.0.1")) as sink, Sink() as outside, authority.cert_pem.tempfile() as trusted:
        sink.features += ["CHUNKING", "BINARYMIME", "SMTPUTF8", "DELIVERBY", "MT-PRIORITY", "REQUIRETLS"]
        trust = {"SSL_CERT_FILE": trusted}
        configuration, ports = article(sink.hop, outside.hop)
        second = Relay(_capable(configuration), ports, environment=trust)
        pair = authority.issue_cert("127.0.0.1", "relay.akkaya.local")
        pair.private_key_and_cert_chain_pem.write_to_path(str(second.directory / "pair.pem"))
        configuration["certificates"] = [{"certificate": "pair.pem", "private_key": "pair.pem", "services": ["SMTP"]}]
        second.write()
        with second:
            configuration, ports = article(f"127.0.0.1:{second.port}", outside.hop)
            with Relay(_capable(configuration), ports, environment=trust) as first:
                yield Chain(first, second, sink, outside)


def through(
    chain: Chain, mail: str, rcpt: str, content: bytes, sender: str = "boss@example.test", to: str = "user@akkaya.local"
) -> Delivered:
    """Send one message by BDAT under TLS; what arrives at the end."""
    chain.sink.delivered.clear()
    with chain.first.dialogue(source="127.0.0.2") as session:
        session.command("EHLO client.example.test")
        session.start_tls()
        session.command("EHLO client.example.test")
        _say(session, f"MAIL FROM:<{sender}> {mail}", f"RCPT TO:<{to}> {rcpt}")
        session.send(b"BDAT %d LAST\r\n" % len(content) + content)
        assert (said := session.reply()).startswith("250"), said
    [message] = eventually(lambda: chain.sink.delivered, f"{mail} {rcpt} arrives")
    assert message.secure
    return message


def _say(session: Dialogue, *commands: str) -> None:
    for line in commands:
        said = session.command(line.strip())
        assert said.startswith("250"), f"{line}: {said}"


def original(content: bytes) -> bytes:
    """A message without the two trace headers in front."""
    for _ in range(2):
        found = re.match(rb"Received: [^\n]*\n(?:[ \t][^\n]*\n)*", content)
        assert found is not None, content[:300]
        content = content[found.end() :]
    return content


ORCPT = "rfc822;" + "+2B+3D" + "x" * 400 + "@example.test"
ENVID = "+2B+3D" + "E" * 94

MAIL = [
    "",
    "BODY=7BIT",
    "RET=FULL",
    "RET=HDRS ENVID=QQ314159",
    f"ENVID={ENVID}",
    "MT-PRIORITY=-9",
    "MT-PRIORITY=9",
    "REQUIRETLS",
    f"BODY=7BIT RET=FULL ENVID={ENVID} REQUIRETLS MT-PRIORITY=4",
]


@pytest.mark.parametrize("mail", MAIL)
def test_parameters_of_mail(chain: Chain, mail: str) -> None:
    message = through(chain, mail, "", PLAIN)
    said = {word for word in message.mail_parameters.split() if not word.startswith("SIZE=")}
    lowered = re.sub(r"MT-PRIORITY=[1-9]", "MT-PRIORITY=0", mail)  # no relay lets a stranger overtake others
    assert said == set(lowered.split()) - {"BODY=7BIT"}
    assert original(message.content) == PLAIN
    assert (message.sender, message.recipients) == ("boss@example.test", ("user@akkaya.local",))


RCPT = [
    "NOTIFY=NEVER",
    "NOTIFY=SUCCESS",
    "NOTIFY=FAILURE",
    "NOTIFY=DELAY",
    "NOTIFY=SUCCESS,FAILURE,DELAY",
    "ORCPT=rfc822;user@example.test",
    f"NOTIFY=FAILURE ORCPT={ORCPT}",
]


@pytest.mark.parametrize("rcpt", RCPT)
def test_parameters_of_rcpt(chain: Chain, rcpt: str) -> None:
    message = through(chain, "", rcpt, PLAIN)
    [said] = message.recipient_parameters
    assert _sorted(said) == _sorted(rcpt if "ORCPT" in rcpt else f"{rcpt} ORCPT=rfc822;user@akkaya.local")
    assert original(message.content) == PLAIN


def _sorted(parameters: str) -> list[str]:
    return sorted(re.sub(r"NOTIFY=(\S+)", lambda found: "NOTIFY=" + ",".join(sorted(found[1].split(","))), parameters).split())


def test_utf8(chain: Chain) -> None:
    rcpt = "NOTIFY=FAILURE ORCPT=utf-8;gr\\x{FC}n@akkaya.local"
    message = through(chain, "SMTPUTF8 BODY=8BITMIME", rcpt, EIGHT_BIT, "süd@exämple.test", "grün@akkaya.local")
    assert (message.sender, message.recipients) == ("süd@exämple.test", ("grün@akkaya.local",))
    assert {"SMTPUTF8", "BODY=8BITMIME"} <= set(message.mail_parameters.split())
    assert message.recipient_parameters == (rcpt,)
    assert original(message.content) == EIGHT_BIT


def test_binary(chain: Chain) -> None:
    message = through(chain, "BODY=BINARYMIME", "", BINARY)
    assert "BODY=BINARYMIME" in message.mail_parameters
    assert original(message.content) == BINARY


@pytest.mark.parametrize(("by", "least"), [("600;R", 590), ("600;RT", 590), ("-5;N", -60), ("600;NT", 590)])
def test_the_by_time_shrinks(chain: Chain, by: str, least: int) -> None:
    chain.outside.delivered.clear()
    message = through(chain, f"BY={by}", "", PLAIN)
    found = re.search(r"BY=(-?\d+);(\w+)", message.mail_parameters)
    assert found is not None
    assert least <= int(found[1]) <= int(by.partition(";")[0])
    assert found[2] == by.partition(";")[2]
    if "T" in by:  # each hop tells that it passed it on
        eventually(lambda: len(chain.outside.delivered) == 2, "both relays report")


def test_held_by_the_first_alone(chain: Chain) -> None:
    message = through(chain, "HOLDFOR=2", "", PLAIN)
    assert "HOLD" not in message.mail_parameters
