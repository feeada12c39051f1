"""Transactions with a server that offers CHUNKING: content in one chunk, and every way in which that can go wrong."""

from __future__ import annotations

import pytest

from tests.wire.client_peer import EHLO, EHLO_CHUNKING, EHLO_PLAIN_CHUNKING, LOST, PLAIN, Peer, codes, session
from twistedrelay.values.envelope import MailParameters
from twistedrelay.wire.client_values import Broken, ClientSettings, Finished, Phase, SendContent, Stage, Transaction, Untried

ENVELOPE = b"MAIL FROM:<s@a.test> SIZE=7\r\nRCPT TO:<r@b.test>\r\n"
CHUNK = b"BDAT 7 LAST\r\n"
LMTP = ClientSettings("relay.test", lmtp=True, starttls="never")


def chunking(*recipients: str, settings: ClientSettings = PLAIN) -> tuple[Peer, Transaction]:
    """A session in which the content of a message is on its way; its recipients were taken."""
    peer = session(EHLO_CHUNKING, settings)
    transaction, _ = peer.begins(*recipients)
    peer.says(b"250 ok\r\n" + b"250 ok\r\n" * len(transaction.recipients))
    return peer, transaction


def uncertain(transaction: Transaction) -> list[bool]:
    return [verdict.uncertain for verdict in transaction.verdicts if verdict is not None]


@pytest.mark.parametrize("split", [0, 1, 2, 3, 5])
def test_envelope_and_chunk_take_one_write_each(split: int) -> None:
    peer = session(EHLO_CHUNKING, split=split)
    for _ in range(2):
        transaction, sent = peer.begins()
        assert sent == ENVELOPE
        assert peer.says(b"250 ok\r\n250 ok\r\n") == CHUNK
        assert peer.last(SendContent).transaction is transaction
        assert peer.sends(b".x\r\n..y") == b".x\r\n..y", "no dot is doubled, and the last line stays as it is"
        assert peer.engine.stage is Stage.END
        peer.says(b"250 2.0.0 taken\r\n")
        assert codes(transaction) == [250]
        assert peer.engine.idle


def test_the_next_envelope_is_said_right_behind_the_chunk() -> None:
    """As many round trips as by DATA: one for each message."""
    peer, first = chunking()
    assert not peer.engine.can_begin
    peer.engine.content(b"hello\r\n")
    peer.engine.end_content()
    assert peer.engine.can_begin
    second, sent = peer.begins()
    assert sent == b"hello\r\n" + ENVELOPE
    assert peer.says(b"250 one\r\n250 ok\r\n250 ok\r\n") == CHUNK
    assert peer.last(Finished).transaction is first
    assert peer.last(SendContent).transaction is second
    peer.sends()
    peer.says(b"250 two\r\n")
    assert (codes(first), codes(second)) == ([250], [250])


def test_nothing_is_sent_where_nobody_was_accepted() -> None:
    peer = session(EHLO_CHUNKING)
    transaction, _ = peer.begins("a@x", "b@x")
    assert peer.says(b"250 ok\r\n550 no\r\n450 no\r\n") == b""
    assert codes(transaction) == [550, 450]
    assert peer.begins()[1] == b"RSET\r\n" + ENVELOPE
    assert peer.says(b"250 reset\r\n250 ok\r\n250 ok\r\n") == CHUNK


def test_some_recipients_refused() -> None:
    peer = session(EHLO_CHUNKING)
    transaction, _ = peer.begins("a@x", "b@x", "c@x")
    assert peer.says(b"250 ok\r\n250 ok\r\n550 no\r\n452 4.5.3 too many\r\n") == CHUNK
    peer.sends()
    peer.says(b"250 taken\r\n")
    assert codes(transaction) == [250, 550, 452]
    assert transaction.excess == [2]


def test_mail_refused_sends_nothing_and_needs_no_reset() -> None:
    peer = session(EHLO_CHUNKING)
    transaction, _ = peer.begins("a@x", "b@x")
    assert peer.says(b"552 too big\r\n503 mail first\r\n503 mail first\r\n") == b""
    assert codes(transaction) == [552, 552]
    assert peer.begins()[1] == ENVELOPE


def test_mail_refused_and_recipients_accepted() -> None:
    peer = session(EHLO_CHUNKING)
    transaction, _ = peer.begins()
    assert peer.says(b"452 4.3.1 full\r\n250 ok\r\n") == b""
    assert codes(transaction) == [452]


def test_without_pipelining() -> None:
    peer = session(EHLO_PLAIN_CHUNKING)
    transaction, sent = peer.begins("a@x", "b@x")
    assert sent == b"MAIL FROM:<s@a.test>\r\n"
    assert peer.says(b"250 ok\r\n") == b"RCPT TO:<a@x>\r\n"
    assert peer.says(b"550 no\r\n") == b"RCPT TO:<b@x>\r\n"
    assert peer.says(b"250 ok\r\n") == CHUNK
    assert peer.sends() == b"hello\r\n"
    assert not peer.engine.can_begin
    peer.says(b"554 5.6.0 no\r\n")
    assert codes(transaction) == [550, 554]
    assert peer.begins("c@x")[1] == b"RSET\r\n", "not all servers end the transaction when they refuse a chunk"
    assert peer.says(b"250 ok\r\n") == b"MAIL FROM:<s@a.test>\r\n"


@pytest.mark.parametrize("body", ["7BIT", "8BITMIME"])
def test_what_is_said_of_the_body_stays_the_same(body: str) -> None:
    peer = session(b"250-mx.test\r\n250-PIPELINING\r\n250-CHUNKING\r\n250-SMTPUTF8\r\n250 8BITMIME\r\n")
    _, sent = peer.begins("ü@x", mail=MailParameters(body=body, smtp_utf8=True))
    words = b" BODY=8BITMIME" if body == "8BITMIME" else b""
    assert sent == b"MAIL FROM:<s@a.test>" + words + b" SMTPUTF8\r\n" + "RCPT TO:<ü@x>\r\n".encode()
    assert peer.says(b"250 ok\r\n250 ok\r\n") == CHUNK
    assert peer.sends("grüße"[:5].encode()) == "grüße".encode()


def test_it_can_be_switched_off() -> None:
    ehlo = b"250-mx.test\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 BINARYMIME\r\n"
    peer = session(ehlo, ClientSettings("relay.test", starttls="never", chunking=False))
    assert (peer.engine.offers.chunking, peer.engine.offers.binary) == (False, False)
    assert peer.begins()[1].endswith(b"DATA\r\n")


def test_content_that_needs_repair_goes_by_data() -> None:
    peer = session(EHLO_CHUNKING)
    assert peer.begins(by_data=True)[1] == ENVELOPE + b"DATA\r\n"
    peer.says(b"250 ok\r\n250 ok\r\n354 go\r\n")
    assert peer.sends(b"a\nb\0c\rd") == b"a\r\nb c\r\nd\r\n.\r\n"


# Replies out of step.

ENHANCED = EHLO_CHUNKING.replace(b"250-SIZE", b"250-ENHANCEDSTATUSCODES\r\n250-SIZE")


@pytest.mark.parametrize("ehlo", [ENHANCED, ENHANCED.replace(b"250-PIPELINING\r\n", b"")])
def test_replies_that_may_be_to_other_commands(ehlo: bytes) -> None:
    """Where they are not, it is the same by DATA; where they are, the reply to DATA shows it."""
    for codes_said, by_data in (((b"2.1.5", b"2.1.5"), False), ((b"2.1.0", b"2.1.5"), True), ((b"2.1.5", b"ok"), True)):
        peer = session(ehlo)
        transaction, _ = peer.begins("a@x", "b@x")
        peer.says(b"250 2.1.0 ok\r\n")
        peer.says(b"250 " + codes_said[0] + b" ok\r\n")
        said = peer.says(b"250 " + codes_said[1] + b" ok\r\n")
        assert said == (b"DATA\r\n" if by_data else CHUNK)
        if by_data:
            peer.says(b"354 go\r\n")
        peer.sends()
        peer.says(b"250 2.0.0 taken\r\n")
        assert codes(transaction) == [250, 250]


def test_a_reply_too_many_costs_nobody_his_message() -> None:
    peer = session(ENHANCED)
    transaction, _ = peer.begins("refused@x", "a@x", "b@x")
    peer.says(b"250 one too many\r\n250 2.1.0 ok\r\n250 2.1.5 ok\r\n550 5.1.1 no\r\n")
    peer.says(b"250 2.1.5 ok\r\n")
    assert codes(transaction) == [451, 451, 451]
    assert peer.engine.closed


def test_binary_content_cannot_go_by_data() -> None:
    peer = session(ENHANCED.replace(b"250-SIZE", b"250-BINARYMIME\r\n250-SIZE"))
    peer.begins(mail=MailParameters(body="BINARYMIME"))
    assert peer.says(b"250 ok\r\n250 ok\r\n") == CHUNK


# The size, and what is in the content.


@pytest.mark.parametrize("chunks", [[b"hello\r\n!"], [b"hello\r\n", b"!"], [b"hello"], [b"hell", b""], []])
@pytest.mark.parametrize("ehlo", [EHLO, EHLO_CHUNKING])
def test_content_of_another_size_never_arrives(chunks: list[bytes], ehlo: bytes) -> None:
    """The session ends before the message is whole; it waits, and nothing is in doubt."""
    peer = session(ehlo)
    transaction, _ = peer.begins("a@x", "b@x")
    peer.says(b"250 ok\r\n250 ok\r\n550 no\r\n" + (b"354 go\r\n" if ehlo is EHLO else b""))
    for chunk in chunks:
        peer.engine.content(chunk)
    peer.engine.end_content()
    sent = peer.collect()
    assert not sent.endswith(b".\r\n")
    assert len(sent) <= 7
    assert (codes(transaction), uncertain(transaction)) == ([451, 550], [False, False])
    assert transaction.verdicts[0] is not None
    assert transaction.verdicts[0].own
    assert transaction.phase is not Phase.END
    broken = peer.last(Broken)
    assert (broken.own, broken.stage) == (True, Stage.CONTENT)


@pytest.mark.parametrize("content", [b"a\nb\r\nc\r", b"ab\0de\r\n", b"abc\rd\r\n", b"hello\n\n", b"hello\r\r"])
@pytest.mark.parametrize("step", [1, 2, 7])
def test_what_text_must_not_hold_never_leaves(content: bytes, step: int) -> None:
    peer, transaction = chunking()
    for at in range(0, 7, step):
        peer.engine.content(content[at : at + step])
    peer.engine.end_content()
    sent = peer.collect()
    assert content.startswith(sent)
    assert b"\0" not in sent
    assert codes(transaction) == [451]
    assert peer.engine.closed


def test_binary_content_holds_anything() -> None:
    peer = session(b"250-mx.test\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 BINARYMIME\r\n")
    peer.begins(mail=MailParameters(body="BINARYMIME"))
    assert peer.says(b"250 ok\r\n250 ok\r\n") == CHUNK
    assert peer.sends(b"\0\n\r.\r\n\r") == b"\0\n\r.\r\n\r"


# Refusals.


def test_a_refused_chunk_is_a_refused_message() -> None:
    for said, code in ((b"554 5.6.0 spam", 554), (b"552 5.3.4 large", 552), (b"452 4.3.1 full", 452), (b"501 5.7.1 policy", 501)):
        peer, transaction = chunking("a@x", "b@x")
        peer.sends()
        peer.says(said + b"\r\n")
        assert (codes(transaction), uncertain(transaction)) == ([code] * 2, [False] * 2)
        assert not peer.engine.closed
        assert peer.begins()[1] == b"RSET\r\n" + ENVELOPE


@pytest.mark.parametrize("said", [b"500 what?", b"502 5.5.1 not here", b"503 5.5.1 bad sequence", b"501 5.5.4 syntax", b"504 no"])
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("settings", [PLAIN, LMTP])
def test_a_server_that_does_not_know_bdat(said: bytes, whole: bool, settings: ClientSettings) -> None:
    """It may take the content for commands: the session ends at once, and nothing is held against the message."""
    peer, transaction = chunking("a@x", "b@x", settings=settings)
    if whole:
        peer.sends()
    else:
        peer.engine.content(b"hel")
        peer.collect()
    following = peer.begins()[0] if whole and settings is PLAIN else None
    peer.says(said + b"\r\n250 MAIL from the content\r\n250 ok\r\n")
    assert (codes(transaction), uncertain(transaction)) == ([451, 451], [False, False])
    verdict = transaction.verdicts[0]
    assert verdict is not None
    assert "offers CHUNKING but refuses BDAT: " + said[:3].decode() in verdict.reply.text
    assert following is None or peer.events[-2] == Untried(following)
    broken = peer.last(Broken)
    assert broken is peer.events[-1]
    assert broken.own, "the connection is cut, not closed in good order"


@pytest.mark.parametrize(("said", "code"), [(b"250 ok", 451), (b"354 go", 451), (b"452 4.3.1 full", 452), (b"552 5.3.4 large", 552)])
def test_a_reply_while_the_chunk_is_on_its_way(said: bytes, code: int) -> None:
    peer, transaction = chunking("a@x")
    peer.engine.content(b"hel")
    peer.says(said + b"\r\n")
    assert (codes(transaction), uncertain(transaction)) == ([code], [False])
    assert peer.engine.closed
    peer.engine.content(b"lo\r\n")
    peer.engine.end_content()
    assert peer.collect() == b""


def test_another_envelope_behind_a_refused_chunk() -> None:
    peer, first = chunking()
    peer.sends()
    second, _ = peer.begins()
    peer.says(b"554 5.6.0 no\r\n250 ok\r\n250 ok\r\n")
    peer.sends()
    peer.says(b"250 ok\r\n")
    assert (codes(first), codes(second)) == ([554], [250])


@pytest.mark.parametrize("said", [b"503 5.5.1 nested MAIL", b"502 5.5.1 no such command", b"550 5.7.1 no"])
def test_mail_refused_behind_a_refused_chunk(said: bytes) -> None:
    """The transaction may go on there, or the content be taken for commands: no word on the next message, which goes elsewhere."""
    peer, first = chunking()
    peer.sends()
    second, _ = peer.begins()
    peer.says(b"452 4.3.1 full\r\n" + said + b"\r\n250 ok\r\n")
    assert codes(first) == [452]
    assert peer.events[-2] == Untried(second)
    assert isinstance(peer.events[-1], Broken)


def test_a_later_503_is_what_it_says() -> None:
    peer, _ = chunking()
    peer.sends()
    second, _ = peer.begins()
    peer.says(b"554 5.6.0 no\r\n250 ok\r\n550 no\r\n")
    third, sent = peer.begins()
    assert sent.startswith(b"RSET\r\n")
    peer.says(b"250 ok\r\n503 5.5.1 no\r\n503 5.5.1 no\r\n")
    assert (codes(second), codes(third)) == ([550], [503])


# The end of the session.


@pytest.mark.parametrize("sent", [b"", b"hel", b"hello\r\n"])
def test_421_to_a_chunk(sent: bytes) -> None:
    peer, transaction = chunking()
    if sent:
        peer.engine.content(sent)
        if len(sent) == 7:
            peer.engine.end_content()
    peer.collect()
    peer.says(b"421 4.3.2 going down\r\n")
    assert (codes(transaction), uncertain(transaction)) == ([421], [False])
    assert peer.engine.closed


@pytest.mark.parametrize("whole", [True, False])
def test_a_lost_reply_is_in_doubt_once_the_chunk_is_whole(whole: bool) -> None:
    peer, transaction = chunking("a@x", "b@x")
    peer.engine.content(b"hello\r\n" if whole else b"hello\r")
    if whole:
        peer.engine.end_content()
    peer.engine.lost(LOST)
    peer.collect()
    assert (codes(transaction), uncertain(transaction)) == ([451] * 2, [whole] * 2)


def test_an_envelope_behind_a_lost_reply_was_not_tried() -> None:
    peer, first = chunking()
    peer.sends()
    second, _ = peer.begins()
    peer.engine.lost(LOST)
    peer.collect()
    assert uncertain(first) == [True]
    assert peer.events[-2] == Untried(second)


# LMTP.


def test_lmtp_has_a_reply_for_each_recipient_behind_the_chunk() -> None:
    peer = session(EHLO_CHUNKING, LMTP)
    transaction, _ = peer.begins("a@x", "b@x", "c@x", "d@x")
    assert peer.says(b"250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n250 ok\r\n") == CHUNK
    peer.sends()
    assert not peer.engine.can_begin
    peer.says(b"452 4.2.2 full\r\n503 5.5.1 hm\r\n")
    assert not peer.engine.idle
    peer.says(b"250 taken\r\n")
    assert codes(transaction) == [452, 550, 503, 250]
    assert peer.begins()[1] == ENVELOPE, "it was taken for somebody, so it is over"


def test_lmtp_all_refused_then_reset() -> None:
    peer, transaction = chunking("a@x", "b@x", settings=LMTP)
    peer.sends()
    peer.says(b"452 4.3.1 full\r\n452 4.3.1 full\r\n")
    assert codes(transaction) == [452, 452]
    assert peer.begins()[1] == b"RSET\r\n" + ENVELOPE


def test_lmtp_too_few_replies_are_in_doubt_for_the_rest() -> None:
    peer, transaction = chunking("a@x", "b@x", settings=LMTP)
    peer.sends()
    peer.says(b"250 one\r\n")
    peer.engine.lost(LOST)
    peer.collect()
    assert (codes(transaction), uncertain(transaction)) == ([250, 451], [False, True])
