"""What is read and written on the way out: SRS addresses, header sections with other senders, MTA-STS, TLSA, the offers of a server."""

from __future__ import annotations

import base64
import re

import attrs
from cryptography import x509

from tests.proof.targets.target import target, text
from tests.schedule.fakes import message
from twistedrelay.config.patterns import AddressPattern
from twistedrelay.routing import mtasts
from twistedrelay.routing.fromfields import MAX_LINE, mapped_fields
from twistedrelay.routing.rewrite import ORIGINAL_RECIPIENT, Rewrite
from twistedrelay.tls import dane
from twistedrelay.tls.failures import UntrustedPeer
from twistedrelay.values.address import AddressError, parse_address, parse_path, unquoted
from twistedrelay.values.envelope import DeliverBy, MailParameters, RcptParameters
from twistedrelay.values.headerfields import field_name, split_fields
from twistedrelay.values.route import TLSA
from twistedrelay.values.srs import MAX_AGE, MAX_LENGTH, SRS, SRSError, is_srs
from twistedrelay.wire.client import SMTPClient
from twistedrelay.wire.client_offers import mail_words, rcpt_words
from twistedrelay.wire.client_values import ClientSettings, Ready

NOW = 1_800_000_000.0
DAY = 86400.0
KEYS = SRS((b"the secret of a fuzzer",))


def _other_case(text: str) -> str:
    """With capitals for small letters and the other way round, in ASCII: no mail system folds more."""
    return "".join(each.swapcase() if each.isascii() else each for each in text)


@target(
    "srs",
    b"user@there.example",
    b"SRS0=ABCDEFGH=AA=there.example=user@forwarder.example",
    b"SRS1=ABCDEFGH=forwarder.example==ABCD=AA=there.example=user@second.example",
    b"srs0+",
    b"SRS1-",
    b"==",
    b"=",
    b'"a b"@x.example',
    b"@[IPv6:::1]",
    b"@x.example",
    b"x" * 64,
    "ü@ü.example".encode(),
)
def srs(data: bytes) -> None:
    """An address that was put inside one of ours comes out again, for three weeks; what we did not make is refused."""
    try:
        sender = parse_path(text(data) or "")
    except AddressError:
        return
    if sender.is_null or not sender.domain:
        return
    try:
        KEYS.decode(sender, NOW)
        raise AssertionError("an address that nobody made")
    except SRSError:
        pass
    made = KEYS.encode(sender, "relay.example", NOW)
    if made == sender:
        assert len(sender.text.encode()) > MAX_LENGTH - 60 or not sender.text.isascii()
        return
    assert is_srs(made)
    assert made.domain == "relay.example"
    assert len(made.text.encode()) <= MAX_LENGTH
    assert parse_path(made.text) == made
    again = KEYS.encode(made, "second.example", NOW)
    assert is_srs(sender) or again == made or KEYS.decode(again, NOW) == made
    try:
        inside = KEYS.decode(made, NOW)
    except SRSError:
        assert is_srs(sender), "an address goes in and does not come out"
        return
    if not is_srs(sender):
        assert (unquoted(inside.local), inside.domain) == (unquoted(sender.local), sender.domain)
        assert KEYS.decode(attrs.evolve(made, local=_other_case(made.local)), NOW).domain == sender.domain
        for moment in (NOW + (MAX_AGE + 2) * DAY, NOW - 3 * DAY):
            try:
                KEYS.decode(made, moment)
                raise AssertionError("it is good for ever")
            except SRSError:
                pass


_ALL = Rewrite(((AddressPattern.parse("*"), AddressPattern.parse("new@here.example")),), in_headers=True)
_REDIRECTED = attrs.evolve(_ALL, redirect=parse_address("test@here.example"))
_MESSAGE = message(1, "first@there.example", "second@there.example")


@target(
    "rewriting",
    b"From: Scanner <scan@printers.local>\r\n",
    b"From: a@x.example, B <b@x.example>\r\n",
    b"Sender: a@x.example\r\n",
    b"From: Team: a@x.example, b@x.example;\r\n",
    b'from : (c(o)m\\)) "q\\"<x@y>"\r\n <a@x.example>\r\n',
    b"From: <@r.example,@s.example:a@x.example>\r\n",
    "From: \u00fc@\u00fc.example\r\n".encode(),
    b"From: =?utf-8?q?a=40b?= <a@x.example>\r\n",
    b"Subject: From: a@x.example\r\n",
    b"\r\n\r\n",
    b"\r\n ",
    b"<",
    b">",
    b"@",
    b";",
    b'"',
    b"\\",
    b"\0",
    b"\xff",
    b"x" * 990,
)
def rewriting(data: bytes) -> None:
    """No field comes or goes, none but From and Sender changes, and no line is longer than it may be; a second time changes nothing."""
    head = re.sub(rb"\r\n|\r|\n", b"\r\n", data).partition(b"\r\n\r\n")[0].strip(b"\r\n") + b"\r\n\r\n"
    before = split_fields(head)
    assert mapped_fields(head, lambda _: None) == head
    written = _ALL.header(head, _MESSAGE)
    after = split_fields(written)
    assert [field_name(field) for field in after] == [field_name(field) for field in before]
    for old, new in zip(before, after, strict=True):
        if field_name(old) not in (b"from", b"sender"):
            assert new == old
        else:
            assert new.endswith(b"\r\n")
            assert all(line[:1] in (b" ", b"\t") for line in new.split(b"\r\n")[1:-1]), "a fold that is none"
            longest = max(map(len, old.split(b"\r\n")))
            assert max(map(len, new.split(b"\r\n"))) <= max(MAX_LINE, longest)
            assert old.count(b"@") >= new.count(b"new@here.example")
    assert _ALL.header(written, _MESSAGE) == written
    redirected = _REDIRECTED.header(head, _MESSAGE)
    assert redirected.endswith(b"\r\n\r\n")
    names = [field_name(field) for field in split_fields(redirected)]
    assert names == [*map(field_name, before[:-1]), ORIGINAL_RECIPIENT.lower().encode(), field_name(before[-1])]


@target(
    "mtasts",
    b"version: STSv1\n",
    b"version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmax_age: 604800\n",
    b"mode: testing\r\n",
    b"mode: none\n",
    b"mx: *.\n",
    b"mx: mx.example.\n",
    b"max_age: 99999999999\n",
    b"max_age: \xd9\xa1\n",
    b"v=STSv1; id=20260101;\n",
    b"v=STSv1;id=",
    b":",
    b"\xff",
    "mx: ü.example\n".encode(),
)
def mta_sts(data: bytes) -> None:
    """A policy says what its lines say, and reads back from them; what is none is told in a line."""
    assert re.fullmatch(r"[A-Za-z0-9]{0,32}", mtasts.identity_of(data.split(b"\n")))
    try:
        policy = mtasts.parse(data)
    except mtasts.PolicyError as error:
        assert error.failure == "sts-policy-invalid"
        assert str(error).isprintable()
        assert len(str(error)) < 400
        return
    assert 0 <= policy.max_age <= mtasts.MOST_AGE
    assert policy.patterns or policy.mode == "none"
    assert mtasts.parse("\r\n".join(policy.lines()).encode()) == policy
    assert not policy.allows("")
    for pattern in policy.patterns:
        assert pattern.isascii()
        name = pattern.removeprefix("*.")
        assert policy.allows(pattern.replace("*", "one").upper() + ".")
        assert pattern == name or not mtasts.Policy("enforce", (pattern,), 1).allows(f"one.two.{name}")


#: A server's certificate and that of its authority, until 2126; the keys are gone.
_CERTIFICATES = [
    x509.load_der_x509_certificate(base64.b64decode(encoded))
    for encoded in (
        (
            "MIIBTjCB9aADAgECAhQCAClt92QEflRpReJBeyALHhwahTAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARSb290MCAXDTI2MDEwMTAwMDAwMFoYDzIxMjYwMTAx"
            "MDAwMDAwWjAVMRMwEQYDVQQDDApteC5leGFtcGxlMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEbvKMpoNtm+Twuv0FDAYfjkDFO7yXH2/NJMk43GmLymMa"
            "Q0UVqI6zWw/dN6WvRK4FebJJViIjfQcbsU6/z/QdJKMnMCUwFQYDVR0RBA4wDIIKbXguZXhhbXBsZTAMBgNVHRMBAf8EAjAAMAoGCCqGSM49BAMCA0gAMEUC"
            "IDiBVFZ2LgzS7LW+oRpklj4WgjhE+W6iSUlmfy96TnZGAiEAztZFKxar/pO21yzvUOx0f9mi/9MnGB7b2iWIrI5vcYI="
        ),
        (
            "MIIBMzCB26ADAgECAhQfA83zJTeCHjSaeq4WiJ9qpUayWDAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARSb290MCAXDTI2MDEwMTAwMDAwMFoYDzIxMjYwMTAx"
            "MDAwMDAwWjAPMQ0wCwYDVQQDDARSb290MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEcuB4XkHG80mwFw0MQsF99x34ZZtNdLXRcjLUwMm36r2/vNNky/dl"
            "PFwC+bttJ7dNd7APQQthDzIVaENSmXVyJqMTMBEwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiBbHRQPaB4We1rHXRKMGGBOHHzSno7WL0Rz"
            "xjcGVdNI2AIgaNkD4JmixsRp4HgPmuCqsZmSItVmTRU4w5SJcRKwDho="
        ),
    )
]
_LEAF, _ROOT = _CERTIFICATES
_NAMES = ["mx.example"]


def _record(usage: int, selector: int, matching: int, certificate: x509.Certificate) -> bytes:
    octets = certificate.public_bytes(dane.Encoding.DER) if selector == 0 else dane.public_key_info(certificate)
    return bytes((usage, selector, matching)) + dane._DIGESTS[matching](octets)


@target(
    "tlsa",
    *(_record(usage, 1, matching, one) for usage in (2, 3) for matching in (0, 1, 2) for one in _CERTIFICATES),
    _record(2, 0, 0, _ROOT),
    _record(3, 0, 1, _LEAF),
    b"\x03\x01\x01" + bytes(32),
    b"\0\0\1",
    b"\xff",
)
def tlsa(data: bytes) -> None:
    """Records that can be used stay the same; a certificate passes by one of them only, and the strongest digest decides."""
    pieces = [data, *(data[at : at + 35] for at in range(0, len(data), 35))]
    records = [TLSA(one[0], one[1], one[2], one[3:]) for one in pieces if len(one) >= 3]
    usable = dane.usable(records)
    assert set(usable) <= set(records)
    assert dane.usable(usable) == usable
    assert all(record.usage in (2, 3) and record.selector in (0, 1) and record.matching in (0, 1, 2) for record in usable)
    if not usable:
        return
    try:
        dane.verify(usable, _NAMES, _CERTIFICATES)
    except UntrustedPeer:
        return
    keys = {dane.public_key_info(certificate) for certificate in _CERTIFICATES}
    assert any(_is_meant(record, keys) for record in usable), "it passes by nothing that was published"


def _is_meant(record: TLSA, keys: set[bytes]) -> bool:
    """Whether it is the server's own record, or that of its authority, or brings the key of one of them along."""
    kind = (record.usage, record.selector, record.matching)
    if bytes(kind) + record.data == _record(*kind, _LEAF if record.usage == 3 else _ROOT):
        return True
    whole = record.usage == 2 and (record.selector, record.matching) == (0, 0)
    return whole and dane.public_key_info(x509.load_der_x509_certificate(record.data)) in keys


_MAIL = MailParameters(
    body="8BITMIME",
    ret="HDRS",
    envid="a b=+\r\nRSET \u00fc",
    auth="x y@z.example\r\n",
    require_tls=True,
    priority=4,
    deliver_by=DeliverBy(10**12, "N", True),
)
_RCPT = RcptParameters(frozenset(("FAILURE", "SUCCESS")), "rfc822;a+2Bb@there.example")
_NEEDS = {
    "SIZE=": "SIZE",
    "BODY=": "8BITMIME",
    "SMTPUTF8": "SMTPUTF8",
    "RET=": "DSN",
    "ENVID=": "DSN",
    "REQUIRETLS": "REQUIRETLS",
    "BY=": "DELIVERBY",
    "MT-PRIORITY=": "MT-PRIORITY",
    "NOTIFY=": "DSN",
    "ORCPT=": "DSN",
    "AUTH=": "AUTH",
}


@target(
    "offers",
    b"SIZE 1000\r\n",
    b"LIMITS RCPTMAX=1 MAILMAX=2 RCPTDOMAINMAX=1\r\n",
    b"LIMITS RCPTMAX= MAILMAX=-1 =\r\n",
    b"DELIVERBY 60\r\n",
    b"MT-PRIORITY MIXER\r\n",
    b"8BITMIME\r\nBINARYMIME\r\nCHUNKING\r\n",
    b"DSN\r\nSMTPUTF8\r\nREQUIRETLS\r\n",
    b"auth=PLAIN\r\nAUTH LOGIN\r\n",
    b"SIZE 99999999999999999999999999\r\n",
    "SIZE \u0661\r\n".encode(),
    b"\0",
    b"\xff",
)
def offers(data: bytes) -> None:
    """Whatever a server offers: its numbers are numbers, and we say no parameter beyond them, and nothing but printable ASCII."""
    lines = [line for line in re.split(rb"\r\n|\r|\n", data)[:30] if len(line) < 400]
    reply = b"".join(b"250-%s\r\n" % line for line in [b"mx.test", *lines]) + b"250 HELP\r\n"
    engine = SMTPClient(ClientSettings("relay.test", starttls="never"))
    engine.receive_data(b"220 ready\r\n" + reply)
    if not isinstance(engine.next_event(), Ready):
        return
    found = engine.offers
    numbers = (found.size_limit, found.by_least, found.recipients_most, found.transactions_most, found.domains_most)
    assert all(0 <= number < 10**20 for number in numbers)
    offered = {line.decode("ascii", "replace").strip().upper().partition(" ")[0] for line in lines}
    said = mail_words(found, _MAIL, 1000, utf8=True, logged_in=False)
    said += rcpt_words(found, "user@there.example", _RCPT, _MAIL.deliver_by)
    assert re.fullmatch(r"(?: [!-~]+)*", said), said
    for word in said.split():
        assert next(keyword for start, keyword in _NEEDS.items() if word.startswith(start)) in offered, said
