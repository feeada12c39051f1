"""The client engine: set-up of a session and transactions, without a network."""

from __future__ import annotations

from typing import Any

import pytest

from twistedrelay.values.reply import Reply
from twistedrelay.wire.client import SMTPClient
from twistedrelay.wire.client_values import (
    Broken,
    ClientEvent,
    ClientSettings,
    Credentials,
    Finished,
    Ready,
    SendContent,
    Stage,
    StartHandshake,
    Transaction,
    Untried,
)

PLAIN = ClientSettings("relay.test", starttls="never")
EHLO = b"250-mx.test\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n250 8BITMIME\r\n"
EHLO_PLAIN = b"250 mx.test\r\n"
LOST = Reply(451, "4.4.2", "Connection lost")


class Peer:
    """Drives an engine: says something as the server, returns what the client answers."""

    def __init__(self, settings: ClientSettings = PLAIN, split: int = 0) -> None:
        self.engine = SMTPClient(settings)
        self.events: list[ClientEvent] = []
        self.split = split

    def says(self, data: bytes) -> bytes:
        step = self.split or max(len(data), 1)
        sent = b""
        for offset in range(0, len(data), step):
            self.engine.receive_data(data[offset : offset + step])
            sent += self.collect()
        return sent

    def collect(self) -> bytes:
        while (event := self.engine.next_event()) is not None:
            self.events.append(event)
        return self.engine.data_to_send()

    def begins(self, *recipients: str, **more: Any) -> tuple[Transaction, bytes]:
        transaction = Transaction("s@a.test", recipients or ("r@b.test",), more.pop("size", 7), **more)
        self.engine.begin(transaction)
        return transaction, self.collect()

    def last(self, kind: type[Any]) -> Any:
        return [event for event in self.events if isinstance(event, kind)][-1]

    def sends(self, content: bytes = b"hello\r\n") -> bytes:
        self.engine.content(content)
        self.engine.end_content()
        return self.collect()


def session(ehlo: bytes = EHLO, settings: ClientSettings = PLAIN, split: int = 0) -> Peer:
    peer = Peer(settings, split)
    peer.says(b"220 mx.test\r\n")
    peer.says(ehlo)
    assert isinstance(peer.events[-1], Ready)
    return peer


def codes(transaction: Transaction) -> list[int]:
    return [verdict.reply.code for verdict in transaction.verdicts if verdict is not None]


# Set-up.


def test_greeting() -> None:
    peer = Peer()
    assert peer.says(b"220-hello\r\n220 there\r\n") == b"EHLO relay.test\r\n"
    assert peer.says(EHLO) == b""
    assert peer.events == [Ready()]
    assert peer.engine.features == {"PIPELINING": "", "SIZE": "1000000", "8BITMIME": ""}
    assert peer.engine.stage is Stage.IDLE


def test_lmtp_says_lhlo() -> None:
    assert Peer(ClientSettings("relay.test", lmtp=True)).says(b"220 x\r\n") == b"LHLO relay.test\r\n"


def test_ehlo_refused_falls_back_to_helo() -> None:
    peer = Peer()
    peer.says(b"220 x\r\n")
    assert peer.says(b"502 what\r\n") == b"HELO relay.test\r\n"
    peer.says(b"250 x\r\n")
    assert peer.events == [Ready()]
    assert peer.begins()[1] == b"MAIL FROM:<s@a.test>\r\n"


def test_helo_refused_too() -> None:
    peer = Peer()
    peer.says(b"220 x\r\n502 what\r\n550 go away\r\n")
    assert peer.events == [Broken(Reply(550, "", "go away"), False, Stage.HELLO)]


@pytest.mark.parametrize("banner", [b"554 no\r\n", b"421 4.3.2 busy\r\n", b"450 later\r\n"])
def test_banner_refuses(banner: bytes) -> None:
    peer = Peer()
    assert peer.says(banner) == b""
    assert peer.last(Broken).reply.code == int(banner[:3])
    assert peer.last(Broken).stage is Stage.BANNER
    assert peer.engine.closed


def test_garbage_for_a_banner() -> None:
    peer = Peer()
    peer.says(b"\x15\x03\x01\x00\x02\n")
    assert peer.last(Broken).own
    assert peer.last(Broken).reply.is_transient


# STARTTLS.

MAY = ClientSettings("relay.test")
MUST = ClientSettings("relay.test", starttls="must")
EHLO_TLS = b"250-mx.test\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n"


def test_starttls_then_ehlo_again_and_forgets_what_clear_text_said() -> None:
    peer = Peer(MUST)
    peer.says(b"220 x\r\n")
    assert peer.says(EHLO_TLS) == b"STARTTLS\r\n"
    assert peer.says(b"220 go\r\n") == b""
    assert peer.events == [StartHandshake()]
    assert peer.engine.stage is Stage.HANDSHAKE
    peer.engine.tls_started()
    assert peer.collect() == b"EHLO relay.test\r\n"
    assert peer.engine.features == {}
    peer.says(b"250 mx.test\r\n")
    assert peer.events[-1] == Ready()


@pytest.mark.parametrize("behind", [b"250-evil\r\n250 AUTH PLAIN\r\n", b"2", b"\n"])
def test_twisted_t2_starttls_response_injection_aborts(behind: bytes) -> None:
    """A.2.20: text behind the 220 in the same packet was taken as the EHLO reply over TLS, and the client went on to AUTH."""
    peer = Peer(MUST)
    peer.says(b"220 x\r\n" + EHLO_TLS)
    assert peer.says(b"220 go\r\n" + behind) == b""
    assert not [event for event in peer.events if isinstance(event, StartHandshake)]
    assert "injection" in peer.last(Broken).reply.text
    assert peer.engine.data_to_send() == b""


def test_twisted_t2_octets_between_220_and_handshake_abort() -> None:
    peer = Peer(MAY)
    peer.says(b"220 x\r\n" + EHLO_TLS)
    peer.says(b"220 go\r\n")
    peer.says(b"250 evil\r\n")
    assert "injection" in peer.last(Broken).reply.text


def test_starttls_refused_goes_on_where_it_may() -> None:
    """A.2.22: optional TLS that is refused does not stop mail."""
    peer = Peer(MAY)
    peer.says(b"220 x\r\n" + EHLO_TLS)
    peer.says(b"454 not now\r\n")
    assert peer.events == [Ready()]


@pytest.mark.parametrize("answer", [b"454 4.7.0 not now\r\n", b"502 what\r\n"])
def test_starttls_refused_waits_where_it_must(answer: bytes) -> None:
    peer = Peer(MUST)
    peer.says(b"220 x\r\n" + EHLO_TLS)
    peer.says(answer)
    assert peer.last(Broken).own
    assert peer.last(Broken).reply.code == 451


def test_starttls_not_offered_waits_where_it_must() -> None:
    peer = Peer(MUST)
    peer.says(b"220 x\r\n" + EHLO)
    assert peer.last(Broken).reply == Reply(451, "4.7.4", "TLS is required, but STARTTLS is not offered")


# AUTH.

LOGIN = Credentials("user", "secret", requires_tls=True)
SECURE = ClientSettings("relay.test", secure=True, credentials=LOGIN)


def test_auth_plain_is_preferred() -> None:
    peer = Peer(SECURE)
    peer.says(b"220 x\r\n")
    assert peer.says(b"250-x\r\n250 AUTH LOGIN PLAIN\r\n") == b"AUTH PLAIN AHVzZXIAc2VjcmV0\r\n"
    peer.says(b"235 ok\r\n")
    assert peer.events == [Ready()]


@pytest.mark.parametrize("offer", [b"250 AUTH LOGIN\r\n", b"250 AUTH=LOGIN\r\n"])
def test_auth_login(offer: bytes) -> None:
    peer = Peer(SECURE)
    peer.says(b"220 x\r\n")
    assert peer.says(b"250-x\r\n" + offer) == b"AUTH LOGIN\r\n"
    assert peer.says(b"334 VXNlcm5hbWU6\r\n") == b"dXNlcg==\r\n"
    assert peer.says(b"334 UGFzc3dvcmQ6\r\n") == b"c2VjcmV0\r\n"
    peer.says(b"235 ok\r\n")
    assert peer.events == [Ready()]


def test_auth_never_in_clear_text_where_it_needs_tls() -> None:
    peer = Peer(ClientSettings("relay.test", credentials=LOGIN))
    peer.says(b"220 x\r\n")
    assert peer.says(b"250-x\r\n250 AUTH PLAIN LOGIN\r\n") == b""
    assert peer.last(Broken).reply.code == 454


def test_auth_in_clear_text_where_it_may() -> None:
    peer = Peer(ClientSettings("relay.test", credentials=Credentials("user", "secret", requires_tls=False)))
    peer.says(b"220 x\r\n")
    assert peer.says(b"250-x\r\n250 AUTH PLAIN\r\n").startswith(b"AUTH PLAIN")


def test_auth_without_a_mechanism_of_ours() -> None:
    peer = Peer(SECURE)
    peer.says(b"220 x\r\n250-x\r\n250 AUTH CRAM-MD5\r\n")
    assert peer.last(Broken).reply.code == 454


def test_refused_login_does_not_bounce_mail() -> None:
    peer = Peer(SECURE)
    peer.says(b"220 x\r\n250-x\r\n250 AUTH PLAIN\r\n")
    peer.says(b"535 5.7.8 bad password\r\n")
    assert peer.last(Broken) == Broken(Reply(454, "4.7.0", "Login refused by the server: 535 5.7.8 bad password"), True, Stage.AUTH)


def test_twisted_a2_23_password_is_kept_nowhere() -> None:
    """Credentials stayed in the debug log and in error objects."""
    peer = Peer(SECURE)
    peer.says(b"220 x\r\n250-x\r\n250 AUTH PLAIN\r\n")
    peer.says(b"535 secret AHVzZXIAc2VjcmV0 c2VjcmV0 is wrong\r\n")
    assert "*** *** *** is wrong" in peer.last(Broken).reply.text
    assert "secret" not in repr(SECURE)


def test_endless_questions_end() -> None:
    peer = Peer(SECURE)
    peer.says(b"220 x\r\n250-x\r\n250 AUTH PLAIN\r\n334 more\r\n")
    assert peer.last(Broken).reply.code == 454


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
    transaction, _ = peer.begins()
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
    assert (open_.reply, open_.uncertain) == (LOST, True)
    assert peer.events[-2] == Untried(second)


def test_lost_by_our_own_stop_gives_back_what_has_no_dot() -> None:
    peer = session()
    transaction, _ = peer.begins()
    peer.says(b"250 ok\r\n250 ok\r\n354 go\r\n")
    peer.engine.lost(LOST, give_back=True)
    peer.collect()
    assert peer.events[-2] == Untried(transaction)


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
    assert b" BODY=8BITMIME\r\n" in session().begins(eight_bit=True)[1]
    assert b"BODY" not in session().begins()[1]


def test_eight_bit_message_for_a_server_without_it_is_sent_as_it_is() -> None:
    assert b"BODY" not in session(EHLO_PLAIN).begins(eight_bit=True)[1]


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
