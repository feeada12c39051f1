"""Pipelined transactions, and what is known when a session breaks."""

from __future__ import annotations

import pytest

from tests.wire.client_peer import LOST, codes, session
from twistedrelay.values.reply import Reply
from twistedrelay.wire.client_values import (
    Broken,
    Finished,
    SendContent,
    Stage,
    Untried,
)

# Transactions with PIPELINING.

ENVELOPE = b"MAIL FROM:<s@a.test> SIZE=7\r\nRCPT TO:<r@b.test>\r\nDATA\r\n"


@pytest.mark.parametrize("split", [0, 1, 2, 3, 5])
def test_twisted_a2_21_envelope_is_one_write_without_rset(split: int) -> None:
    peer = session(split=split)
    for _ in range(2):
        transaction, sent = peer.begins()
        assert sent == ENVELOPE
        assert peer.says(b"250 ok\r\n250 ok\r\n354 go\r\n") == b""
        assert peer.last(SendContent).transaction is transaction
        assert peer.sends() == b"hello\r\n.\r\n"
        assert peer.engine.stage is Stage.END
        peer.says(b"250 2.0.0 taken\r\n")
        assert peer.last(Finished).transaction is transaction
        assert transaction.verdicts[0] is not None
        assert transaction.verdicts[0].reply == Reply(250, "2.0.0", "taken")
        assert peer.engine.idle


def test_next_envelope_behind_the_dot() -> None:
    peer = session()
    first, _ = peer.begins()
    peer.says(b"250 ok\r\n250 ok\r\n354 go\r\n")
    assert not peer.engine.can_begin
    peer.engine.content(b"hello\r\n")
    peer.engine.end_content()
    assert peer.engine.can_begin
    second, sent = peer.begins("q@b.test")
    assert sent == b"hello\r\n.\r\n" + ENVELOPE.replace(b"r@b", b"q@b")
    assert not peer.engine.can_begin
    peer.says(b"250 one\r\n250 ok\r\n250 ok\r\n354 go\r\n")
    assert peer.last(Finished).transaction is first
    assert peer.last(SendContent).transaction is second
    peer.sends()
    peer.says(b"550 no\r\n")
    assert codes(first) == [250]
    assert codes(second) == [550]


def test_mixed_recipients() -> None:
    peer = session()
    transaction, _ = peer.begins("a@x", "b@x", "c@x", "d@x")
    peer.says(b"250 ok\r\n250 ok\r\n550 5.1.1 no\r\n251 ok\r\n452 4.5.3 many\r\n354 go\r\n")
    peer.sends()
    peer.says(b"250 taken\r\n")
    assert codes(transaction) == [250, 550, 250, 452]


def test_all_recipients_refused_and_data_refused_then_rset() -> None:
    peer = session()
    transaction, _ = peer.begins("a@x", "b@x")
    peer.says(b"250 ok\r\n550 no\r\n450 no\r\n554 no valid recipients\r\n")
    assert codes(transaction) == [550, 450]
    _, sent = peer.begins()
    assert sent == b"RSET\r\n" + ENVELOPE
    peer.says(b"250 reset\r\n250 ok\r\n250 ok\r\n354 go\r\n")
    assert isinstance(peer.events[-1], SendContent)


def test_all_recipients_refused_but_data_accepted_gets_a_lone_dot() -> None:
    peer = session()
    transaction, _ = peer.begins("a@x", "b@x")
    assert peer.says(b"250 ok\r\n550 no\r\n551 no\r\n354 go\r\n") == b".\r\n"
    assert not [event for event in peer.events if isinstance(event, SendContent)]
    peer.says(b"250 thanks for nothing\r\n")
    assert codes(transaction) == [550, 551]
    assert peer.begins()[1] == ENVELOPE


def test_mail_refused_decides_for_all() -> None:
    peer = session()
    transaction, _ = peer.begins("a@x", "b@x")
    peer.says(b"552 too big\r\n503 mail first\r\n503 mail first\r\n503 mail first\r\n")
    assert codes(transaction) == [552, 552]
    assert peer.begins()[1] == ENVELOPE


def test_data_refused() -> None:
    peer = session()
    transaction, _ = peer.begins("a@x", "b@x")
    peer.says(b"250 ok\r\n250 ok\r\n550 no\r\n451 not now\r\n")
    assert codes(transaction) == [451, 550]
    assert peer.begins()[1].startswith(b"RSET\r\n")


def test_early_refusal_while_content_is_sent() -> None:
    peer = session()
    transaction, _ = peer.begins(size=200)
    peer.says(b"250 ok\r\n250 ok\r\n354 go\r\n")
    peer.engine.content(b"x" * 100)
    peer.says(b"552 5.3.4 too big\r\n")
    assert codes(transaction) == [552]
    assert isinstance(peer.events[-1], Broken)


def test_early_acceptance_is_no_delivery() -> None:
    peer = session()
    transaction, _ = peer.begins()
    peer.says(b"250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n")
    assert codes(transaction) == [451]
    assert peer.engine.closed


@pytest.mark.parametrize("replies", [b"354 x\r\n", b"250 x\r\n354 x\r\n", b"250 x\r\n250 x\r\n250 x\r\n"])
def test_nonsense_codes_in_the_envelope_defer(replies: bytes) -> None:
    peer = session()
    transaction, _ = peer.begins()
    peer.says(replies)
    assert codes(transaction) == [451]
    assert isinstance(peer.events[-1], Broken)


def test_mail_refused_but_the_rest_accepted_sends_nothing() -> None:
    peer = session()
    transaction, _ = peer.begins()
    assert peer.says(b"451 later\r\n250 ok\r\n354 go\r\n") == b""
    assert codes(transaction) == [451]
    assert peer.engine.closed


def test_nonsense_after_the_dot_is_uncertain() -> None:
    peer = session()
    transaction, _ = peer.begins()
    peer.says(b"250 ok\r\n250 ok\r\n354 go\r\n")
    peer.sends()
    peer.says(b"354 eh\r\n")
    (verdict,) = transaction.verdicts
    assert verdict is not None
    assert verdict.own
    assert verdict.uncertain


@pytest.mark.parametrize("answered", range(4))
def test_421_at_any_point_of_a_first_transaction(answered: int) -> None:
    peer = session()
    transaction, _ = peer.begins("a@x", "b@x")
    replies = [b"250 ok\r\n", b"250 ok\r\n", b"550 no\r\n", b"354 go\r\n"][:answered]
    peer.says(b"".join(replies) + b"421 4.3.2 bye\r\n")
    assert codes(transaction) == ([421, 550] if answered > 2 else [421, 421])
    assert not any(verdict.uncertain or verdict.own for verdict in transaction.verdicts if verdict)
    assert isinstance(peer.events[-1], Broken)


def test_421_for_the_dot_gives_the_envelope_behind_it_back() -> None:
    peer = session()
    first, _ = peer.begins()
    peer.says(b"250 ok\r\n250 ok\r\n354 go\r\n")
    peer.sends()
    second, _ = peer.begins()
    peer.says(b"421 bye\r\n")
    assert peer.events[-3:] == [Finished(first), Untried(second), Broken(Reply(421, "", "bye"), False, Stage.END)]
    assert codes(first) == [421]


def test_421_for_mail_after_a_message_gives_back() -> None:
    peer = session()
    peer.begins()
    peer.says(b"250 ok\r\n250 ok\r\n354 go\r\n")
    peer.sends()
    peer.says(b"250 taken\r\n")
    second, _ = peer.begins()
    peer.says(b"421 enough messages\r\n")
    assert peer.events[-2] == Untried(second)


def test_421_while_idle() -> None:
    peer = session()
    peer.says(b"421 idle too long\r\n")
    assert peer.events[-1] == Broken(Reply(421, "", "idle too long"), False, Stage.IDLE)


def test_reply_nobody_asked_for() -> None:
    peer = session()
    peer.says(b"250 surprise\r\n")
    assert peer.last(Broken).own


def test_lost_before_any_reply() -> None:
    peer = session()
    transaction, _ = peer.begins()
    peer.engine.lost(LOST)
    peer.collect()
    assert codes(transaction) == [451]
    assert transaction.verdicts[0] is not None
    assert not transaction.verdicts[0].uncertain


def test_lost_on_a_kept_connection_before_any_reply_was_not_tried() -> None:
    peer = session()
    peer.engine.kept()
    transaction, _ = peer.begins()
    peer.engine.lost(LOST)
    peer.collect()
    assert peer.events[-2] == Untried(transaction)


def test_lost_in_content_is_certain() -> None:
    peer = session()
    transaction, _ = peer.begins()
    peer.says(b"250 ok\r\n250 ok\r\n354 go\r\n")
    peer.engine.content(b"half")
    peer.engine.lost(LOST)
    peer.collect()
    (verdict,) = transaction.verdicts
    assert verdict is not None
    assert (verdict.reply, verdict.own, verdict.uncertain) == (LOST, True, False)


def test_lost_after_the_dot_is_uncertain_and_the_next_envelope_goes_back() -> None:
    peer = session()
    first, _ = peer.begins("a@x", "b@x")
    peer.says(b"250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n")
    peer.sends()
    second, _ = peer.begins()
    peer.engine.lost(LOST)
    peer.collect()
    refused, open_ = first.verdicts
    assert refused is not None
    assert open_ is not None
    assert (refused.reply.code, refused.uncertain) == (550, False)
    assert (open_.reply.code, open_.reply.enhanced, open_.uncertain) == (LOST.code, LOST.enhanced, True)
    assert open_.reply.text == "Connection lost; all of the message was sent, so it may have been delivered"
    assert peer.events[-2] == Untried(second)


def test_lost_by_our_own_stop_gives_back_what_has_no_dot() -> None:
    peer = session()
    transaction, _ = peer.begins()
    peer.says(b"250 ok\r\n250 ok\r\n354 go\r\n")
    peer.engine.lost(LOST, give_back=True)
    peer.collect()
    assert peer.events[-2] == Untried(transaction)
