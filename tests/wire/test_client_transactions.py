"""Transactions: without PIPELINING, parameters of MAIL, LMTP, the end of a session."""

from __future__ import annotations

import pytest

from tests.wire.client_peer import EHLO, EHLO_PLAIN, LOST, Peer, codes, session
from twistedrelay.values.envelope import MailParameters
from twistedrelay.wire.client_values import (
    Broken,
    ClientSettings,
    Finished,
    Stage,
    Untried,
)

# Without PIPELINING.


def test_one_by_one() -> None:
    peer = session(EHLO_PLAIN)
    transaction, sent = peer.begins("a@x", "b@x")
    assert sent == b"MAIL FROM:<s@a.test>\r\n"
    assert peer.says(b"250 ok\r\n") == b"RCPT TO:<a@x>\r\n"
    assert peer.says(b"550 no\r\n") == b"RCPT TO:<b@x>\r\n"
    assert peer.says(b"250 ok\r\n") == b"DATA\r\n"
    assert peer.says(b"354 ok\r\n") == b""
    assert peer.sends() == b"hello\r\n.\r\n"
    assert not peer.engine.can_begin
    peer.says(b"250 taken\r\n")
    assert codes(transaction) == [550, 250]


def test_one_by_one_stops_where_nobody_is_left_and_resets() -> None:
    peer = session(EHLO_PLAIN)
    transaction, _ = peer.begins("a@x")
    peer.says(b"250 ok\r\n")
    assert peer.says(b"550 no\r\n") == b""
    assert codes(transaction) == [550]
    assert peer.begins("b@x")[1] == b"RSET\r\n"
    assert peer.says(b"250 ok\r\n") == b"MAIL FROM:<s@a.test>\r\n"
    assert peer.says(b"250 ok\r\n") == b"RCPT TO:<b@x>\r\n"


def test_one_by_one_mail_refused_needs_no_reset() -> None:
    peer = session(EHLO_PLAIN)
    transaction, _ = peer.begins("a@x")
    peer.says(b"450 later\r\n")
    assert codes(transaction) == [450]
    assert peer.begins("b@x")[1] == b"MAIL FROM:<s@a.test>\r\n"


@pytest.mark.parametrize("ehlo", [EHLO, EHLO_PLAIN])
def test_refused_reset_gives_back(ehlo: bytes) -> None:
    peer = session(ehlo)
    peer.begins()
    peer.says(b"250 ok\r\n550 no\r\n" + (b"554 no\r\n" if ehlo is EHLO else b""))
    transaction, _ = peer.begins()
    peer.says(b"500 what\r\n")
    assert peer.events[-2] == Untried(transaction)


# Parameters.


def test_eight_bit_body_where_offered() -> None:
    assert b" BODY=8BITMIME\r\n" in session().begins(mail=MailParameters(body="8BITMIME"))[1]
    assert b"BODY" not in session().begins()[1]


def test_eight_bit_message_for_a_server_without_it_is_sent_as_it_is() -> None:
    assert b"BODY" not in session(EHLO_PLAIN).begins(mail=MailParameters(body="8BITMIME"))[1]


def test_message_above_the_servers_size_is_refused_without_trying() -> None:
    peer = session()
    transaction, sent = peer.begins(size=1000001)
    assert sent == b""
    assert peer.events[-1] == Finished(transaction)
    (verdict,) = transaction.verdicts
    assert verdict is not None
    assert (verdict.reply.code, verdict.reply.enhanced, verdict.own) == (552, "5.3.4", True)
    assert peer.engine.can_begin


@pytest.mark.parametrize("size", [b"SIZE", b"SIZE 0", b"SIZE lots"])
def test_size_without_a_limit(size: bytes) -> None:
    peer = session(b"250-x\r\n250 " + size + b"\r\n")
    assert peer.begins(size=10**9)[1] == b"MAIL FROM:<s@a.test> SIZE=1000000000\r\n"


def test_address_with_a_line_end_is_never_said() -> None:
    peer = session()
    transaction, sent = peer.begins("a@x>\r\nRCPT TO:<b@x")
    assert sent == b""
    assert codes(transaction) == [550]


def test_twisted_a2_22_utf8_addresses() -> None:
    peer = session(b"250-x\r\n250 SMTPUTF8\r\n")
    assert peer.begins("ü@x")[1] == b"MAIL FROM:<s@a.test> SMTPUTF8\r\n"
    assert peer.says(b"250 ok\r\n") == "RCPT TO:<ü@x>\r\n".encode()
    peer = session()
    transaction, sent = peer.begins("ü@x")
    assert sent == b""
    assert transaction.verdicts[0] is not None
    assert transaction.verdicts[0].reply.enhanced == "5.6.7"


# LMTP.

LMTP = ClientSettings("relay.test", lmtp=True, starttls="never")


def test_lmtp_has_a_reply_for_each_accepted_recipient() -> None:
    peer = session(settings=LMTP)
    transaction, _ = peer.begins("a@x", "b@x", "c@x")
    peer.says(b"250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n")
    peer.sends()
    assert not peer.engine.can_begin, "an envelope behind the dot would make a missing reply a false delivery"
    peer.says(b"250 taken\r\n")
    assert not peer.engine.idle
    peer.says(b"452 full\r\n")
    assert codes(transaction) == [250, 550, 452]
    assert peer.engine.can_begin


def test_lmtp_too_many_replies_end_the_session() -> None:
    peer = session(settings=LMTP)
    transaction, _ = peer.begins()
    peer.says(b"250 ok\r\n250 ok\r\n354 go\r\n")
    peer.sends()
    peer.says(b"250 one\r\n250 two\r\n")
    assert codes(transaction) == [250]
    assert isinstance(peer.events[-1], Broken)


def test_lmtp_too_few_replies_are_uncertain_for_the_rest() -> None:
    peer = session(settings=LMTP)
    transaction, _ = peer.begins("a@x", "b@x")
    peer.says(b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n")
    peer.sends()
    peer.says(b"250 one\r\n")
    peer.engine.lost(LOST)
    peer.collect()
    first, second = transaction.verdicts
    assert first is not None
    assert second is not None
    assert (first.reply.code, first.uncertain) == (250, False)
    assert (second.reply.code, second.uncertain) == (451, True)


@pytest.mark.parametrize(("said", "code"), [(b"250 ok", 451), (b"354 go", 451), (b"452 4.3.1 full", 452), (b"552 5.3.4 large", 552)])
def test_a_reply_while_the_content_is_on_its_way(said: bytes, code: int) -> None:
    """What is refused early is refused; what is not yet sent cannot have been taken."""
    peer = session()
    transaction, _ = peer.begins("a@x", size=24)
    peer.says(b"250 ok\r\n250 ok\r\n354 go\r\n")
    peer.engine.content(b"half of it\r\n")
    peer.says(said + b"\r\n")
    assert codes(transaction) == [code]
    assert peer.engine.closed


def test_a_reply_too_many_costs_nobody_his_message() -> None:
    """Somebody else's 550 may have been taken for a recipient's: the reply to DATA shows that something is wrong."""
    peer = session()
    transaction, _ = peer.begins("refused@x", "a@x", "b@x")
    peer.says(b"250 one too many\r\n250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n")
    assert codes(transaction) == [451, 451, 451]
    assert peer.engine.closed


def test_lmtp_354_without_a_recipient_ends_the_session() -> None:
    peer = session(settings=LMTP)
    transaction, _ = peer.begins()
    assert peer.says(b"250 ok\r\n550 no\r\n354 go\r\n") == b""
    assert codes(transaction) == [550]
    assert peer.engine.closed


def test_quit() -> None:
    peer = session()
    peer.engine.quit()
    assert peer.collect() == b"QUIT\r\n"
    assert not peer.engine.can_begin
    peer.says(b"221 bye\r\n")
    assert peer.engine.stage is Stage.CLOSED


def test_nothing_happens_after_the_end() -> None:
    peer = session()
    peer.says(b"421 bye\r\n")
    count = len(peer.events)
    peer.says(b"250 ok\r\n")
    peer.engine.lost(LOST)
    peer.collect()
    assert len(peer.events) == count


@pytest.mark.parametrize("split", range(1, 20))
def test_whole_session_at_every_split(split: int) -> None:
    """A server that says everything it can at once, cut into pieces of every length."""
    peer = Peer(split=split)
    peer.says(b"220 x\r\n" + EHLO)
    first, _ = peer.begins("a@x", "b@x")
    peer.says(b"250-ok\r\n250 ok\r\n250 ok\r\n550-5.1.1 no\r\n550 5.1.1 such user\r\n354 go\r\n")
    peer.sends()
    second, _ = peer.begins()
    peer.says(b"250 2.0.0 taken\r\n250 ok\r\n250 ok\r\n354 go\r\n")
    peer.sends()
    peer.says(b"450 4.2.0 later\r\n")
    assert codes(first) == [250, 550]
    assert codes(second) == [450]
    assert first.verdicts[1] is not None
    assert first.verdicts[1].reply.text == "no\nsuch user"


# Recipients who are too many.


@pytest.mark.parametrize("said", [b"452 4.5.3 too many", b"452 too many", b"552 too many", b"552 5.5.3 too many", b"451 4.5.3 too many"])
@pytest.mark.parametrize("ehlo", [EHLO, EHLO_PLAIN])
def test_those_behind_an_accepted_one_are_excess(said: bytes, ehlo: bytes) -> None:
    peer = session(ehlo)
    transaction, _ = peer.begins("a@x", "b@x", "c@x")
    for reply in (b"250 ok", b"250 ok", said, said, b"354 go"):
        peer.says(reply + b"\r\n")
    peer.sends()
    peer.says(b"250 taken\r\n")
    assert transaction.excess == [1, 2]


@pytest.mark.parametrize("said", [b"452 4.2.2 full", b"552 5.2.2 full", b"452 4.3.1 full", b"450 4.7.1 grey", b"550 no"])
def test_other_refusals_are_not_excess(said: bytes) -> None:
    peer = session()
    transaction, _ = peer.begins("a@x", "b@x")
    peer.says(b"250 ok\r\n250 ok\r\n" + said + b"\r\n354 go\r\n")
    assert not transaction.excess


def test_the_first_recipient_is_never_one_too_many() -> None:
    peer = session()
    transaction, _ = peer.begins("a@x", "b@x")
    peer.says(b"250 ok\r\n552 too many\r\n452 too many\r\n554 none\r\n")
    assert (list(transaction.excess), codes(transaction)) == ([], [552, 452])


@pytest.mark.parametrize(("recipients", "answered", "uncertain"), [(1, 0, False), (3, 0, True), (3, 1, True)])
def test_lmtp_421_after_the_dot_is_for_all_that_are_left(recipients: int, answered: int, uncertain: bool) -> None:
    """A server that ends the session may have delivered to some of them; where there is but one, it is told what became of it."""
    peer = session(settings=LMTP)
    transaction, _ = peer.begins(*(f"r{number}@x" for number in range(recipients)))
    peer.says(b"250 ok\r\n" * (recipients + 1) + b"354 go\r\n")
    peer.sends()
    peer.says(b"250 taken\r\n" * answered + b"421 4.3.2 bye\r\n")
    expected = [(250, False)] * answered + [(421, uncertain)] * (recipients - answered)
    assert [(one.reply.code, one.uncertain) for one in transaction.verdicts if one] == expected


def test_binary_content_that_is_cut_short_is_not_uncertain() -> None:
    """Without its last octet a chunk is no message; with it, it is the server's to say."""
    peer = session(b"250-mx.test\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 BINARYMIME\r\n")
    cut, _ = peer.begins(mail=MailParameters(body="BINARYMIME"))
    peer.says(b"250 ok\r\n250 ok\r\n")
    peer.engine.content(b"hell")
    peer.engine.lost(LOST)
    assert [one.uncertain for one in cut.verdicts if one] == [False]
