"""What is refused without a word to the server."""

from __future__ import annotations

import pytest

from tests.wire.client_peer import EHLO, EHLO_PLAIN, Peer, codes, session
from twistedrelay.values.envelope import DeliverBy, MailParameters, RcptParameters
from twistedrelay.wire.client_fit import NEEDS_CONVERSION, NEEDS_SMTPUTF8, NO_DELIVERBY, TOO_LATE, judge
from twistedrelay.wire.client_offers import Offers
from twistedrelay.wire.client_values import Broken, ClientSettings, Ready, Transaction

BY = Offers.of({"DELIVERBY": "60"})
CHUNKING = b"250-mx.test\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 BINARYMIME\r\n"
BINARY = MailParameters(body="BINARYMIME")


def transaction(*recipients: str, sender: str = "s@a.test", **mail: object) -> Transaction:
    return Transaction(sender, recipients or ("r@b.test",), 7, MailParameters(**mail))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("offers", "by", "lmtp", "verdict"),
    [
        (Offers(), DeliverBy(100, "R"), False, NO_DELIVERBY),
        (Offers(), DeliverBy(100, "N"), False, None),
        (Offers(), DeliverBy(100, "R"), True, None),
        (Offers(), DeliverBy(0, "R"), True, TOO_LATE),
        (BY, DeliverBy(100, "R"), False, None),
        (BY, DeliverBy(59, "R"), False, TOO_LATE),
        (BY, DeliverBy(-5, "N"), False, None),
        (Offers.of({"DELIVERBY": ""}), DeliverBy(0, "R"), False, TOO_LATE),
    ],
)
def test_by_times(offers: Offers, by: DeliverBy, lmtp: bool, verdict: object) -> None:
    assert judge(transaction(deliver_by=by), offers, lmtp=lmtp)[0] is verdict


def test_binary_content_needs_binarymime() -> None:
    assert judge(transaction(body="BINARYMIME"), Offers.of({"CHUNKING": ""}), lmtp=False)[0] is NEEDS_CONVERSION


def test_smtputf8_is_said_where_it_was_received_or_is_needed() -> None:
    utf8 = Offers.of({"SMTPUTF8": ""})
    assert judge(transaction(smtp_utf8=True), utf8, lmtp=False) == (None, True)
    assert judge(transaction("ü@b.test"), utf8, lmtp=False) == (None, True)
    assert judge(transaction(), utf8, lmtp=False) == (None, False)


def test_an_international_recipient_does_not_keep_the_others_from_their_mail() -> None:
    peer = session()
    begun, sent = peer.begins("ü@b.test", "r@b.test")
    assert b"RCPT TO:<r@b.test>\r\nDATA" in sent
    assert b"b.test>\r\nRCPT" not in sent
    peer.says(b"250 ok\r\n250 ok\r\n354 go\r\n")
    peer.sends()
    peer.says(b"250 taken\r\n")
    assert codes(begun) == [550, 250]
    one_by_one = session(EHLO_PLAIN)
    begun, sent = one_by_one.begins("ü@b.test", "r@b.test")
    assert one_by_one.says(b"250 ok\r\n") == b"RCPT TO:<r@b.test>\r\n"
    assert one_by_one.says(b"250 ok\r\n") == b"DATA\r\n"


def test_an_international_sender_keeps_all() -> None:
    assert judge(transaction(sender="ü@a.test"), Offers(), lmtp=False)[0] is NEEDS_SMTPUTF8
    assert judge(transaction("ü@b.test"), Offers(), lmtp=False)[0] is NEEDS_SMTPUTF8


@pytest.mark.parametrize("split", [0, 1])
def test_binary_content_goes_in_one_chunk(split: int) -> None:
    peer = session(CHUNKING, split=split)
    begun, sent = peer.begins("a@b.test", "c@b.test", mail=BINARY, size=5)
    assert sent == b"MAIL FROM:<s@a.test> BODY=BINARYMIME\r\nRCPT TO:<a@b.test>\r\nRCPT TO:<c@b.test>\r\n"
    assert peer.says(b"250 ok\r\n550 5.1.1 no\r\n250 ok\r\n") == b"BDAT 5 LAST\r\n"
    assert peer.sends(b"\n.\r\0\xff") == b"\n.\r\0\xff"
    peer.says(b"250 2.0.0 taken\r\n")
    assert codes(begun) == [550, 250]
    _, sent = peer.begins(size=4, by_data=True)
    assert sent.endswith(b"DATA\r\n")
    peer.says(b"250 ok\r\n250 ok\r\n354 go\r\n")
    assert peer.sends(b".x\r\n") == b"..x\r\n.\r\n"  # the next one is stuffed


def test_binary_content_without_pipelining() -> None:
    peer = session(b"250-mx.test\r\n250-CHUNKING\r\n250 BINARYMIME\r\n")
    begun, _ = peer.begins("a@b.test", "c@b.test", mail=BINARY, size=5)
    peer.says(b"250 ok\r\n")
    assert peer.says(b"250 ok\r\n") == b"RCPT TO:<c@b.test>\r\n"
    assert peer.says(b"250 ok\r\n") == b"BDAT 5 LAST\r\n"
    peer.sends(b"12345")
    peer.says(b"250 ok\r\n")
    assert codes(begun) == [250, 250]


@pytest.mark.parametrize("ehlo", [CHUNKING, CHUNKING.replace(b"250-PIPELINING\r\n", b"")])
def test_binary_content_that_nobody_wants_is_not_sent(ehlo: bytes) -> None:
    peer = session(ehlo)
    begun, _ = peer.begins(mail=BINARY)
    peer.says(b"250 ok\r\n")
    assert b"BDAT" not in peer.says(b"550 5.1.1 no\r\n")
    assert codes(begun) == [550]
    assert peer.begins()[1].startswith(b"RSET\r\n")


def test_binary_content_over_lmtp() -> None:
    peer = session(CHUNKING, ClientSettings("relay.test", lmtp=True, starttls="never"))
    begun, _ = peer.begins("a@b.test", "c@b.test", mail=BINARY, size=1)
    assert peer.says(b"250 ok\r\n250 ok\r\n250 ok\r\n") == b"BDAT 1 LAST\r\n"
    peer.sends(b"x")
    peer.says(b"250 ok\r\n452 full\r\n")
    assert codes(begun) == [250, 452]


def test_a_chunk_that_is_cut_is_certainly_not_delivered() -> None:
    peer = session(CHUNKING)
    begun, _ = peer.begins(mail=BINARY, size=5)
    peer.says(b"250 ok\r\n250 ok\r\n")
    peer.engine.content(b"12")
    peer.says(b"421 bye\r\n")
    assert [(verdict.reply.code, verdict.uncertain) for verdict in begun.verdicts if verdict] == [(421, False)]


def test_notify_and_orcpt_go_with_their_recipients() -> None:
    dsn = EHLO.replace(b"8BITMIME", b"DSN")
    rcpt = [RcptParameters(frozenset({"NEVER"})), RcptParameters()]
    assert (
        b"RCPT TO:<a@b.test> NOTIFY=NEVER ORCPT=rfc822;a@b.test\r\nRCPT TO:<c@b.test>\r\n"
        in session(dsn).begins("a@b.test", "c@b.test", rcpt=rcpt)[1]
    )


def test_requiretls_or_no_session() -> None:
    def broken(ehlo: bytes, *, secure: bool) -> object:
        peer = Peer(ClientSettings("relay.test", starttls="must", secure=secure, require_tls=True))
        peer.says(b"220 mx.test\r\n")
        peer.says(ehlo)
        return peer.events[-1]

    clear = broken(EHLO, secure=False)
    assert isinstance(clear, Broken)
    assert (clear.reply.code, clear.reply.enhanced, clear.own) == (550, "5.7.10", True)
    without = broken(EHLO, secure=True)
    assert isinstance(without, Broken)
    assert (without.reply.code, without.reply.enhanced, without.own) == (550, "5.7.30", True)
    assert isinstance(broken(b"250-mx.test\r\n250 REQUIRETLS\r\n", secure=True), Ready)
