"""The rules of order, each command in each state."""

from __future__ import annotations

import attrs
import pytest

from tests.wire.driver import SETTINGS
from twistedrelay.values import reply as replies
from twistedrelay.values.envelope import MailParameters
from twistedrelay.values.reply import Reply
from twistedrelay.wire.bdat import ChunkReceiver
from twistedrelay.wire.state import SessionState

NEW = SessionState()
GREETED = SessionState(hello="EHLO")
MAIL = SessionState(hello="EHLO", in_transaction=True)
REFUSED = SessionState(hello="EHLO", in_transaction=True, rcpt_seen=True)
RCPT = SessionState(hello="HELO", in_transaction=True, rcpt_seen=True, recipients=2)
LOGGED_IN = SessionState(hello="EHLO", authenticated=True)
SECURE = SessionState(hello="EHLO", secure=True)
HELLO_FIRST, BAD_SEQUENCE = replies.HELLO_FIRST, replies.BAD_SEQUENCE


@pytest.mark.parametrize(
    ("state", "mail", "rcpt", "data", "starttls", "auth"),
    [
        (NEW, HELLO_FIRST, HELLO_FIRST, HELLO_FIRST, HELLO_FIRST, HELLO_FIRST),
        (GREETED, None, replies.NEED_MAIL, replies.NEED_MAIL, None, None),
        (MAIL, replies.SENDER_SPECIFIED, None, replies.NEED_RCPT, BAD_SEQUENCE, BAD_SEQUENCE),
        (REFUSED, replies.SENDER_SPECIFIED, None, replies.NO_VALID_RECIPIENTS, BAD_SEQUENCE, BAD_SEQUENCE),
        (RCPT, replies.SENDER_SPECIFIED, None, None, BAD_SEQUENCE, BAD_SEQUENCE),
        (LOGGED_IN, None, replies.NEED_MAIL, replies.NEED_MAIL, BAD_SEQUENCE, replies.ALREADY_AUTHENTICATED),
        (SECURE, None, replies.NEED_MAIL, replies.NEED_MAIL, BAD_SEQUENCE, None),
    ],
)
def test_order(
    state: SessionState, mail: Reply | None, rcpt: Reply | None, data: Reply | None, starttls: Reply | None, auth: Reply | None
) -> None:
    assert state.refuse_mail() == mail
    assert state.refuse_rcpt() == rcpt
    assert state.refuse_data() == data
    assert state.refuse_starttls(SETTINGS) == starttls
    assert state.refuse_auth(SETTINGS, "PLAIN") == auth


def test_what_is_not_offered() -> None:
    bare = attrs.evolve(SETTINGS, offer_starttls=False, auth_mechanisms=())
    assert GREETED.refuse_starttls(bare) == replies.NOT_IMPLEMENTED
    assert GREETED.refuse_auth(bare, "PLAIN") == replies.UNRECOGNIZED_AUTH
    assert GREETED.refuse_auth(SETTINGS, "") == replies.BAD_ARGUMENTS
    needs_tls = attrs.evolve(SETTINGS, auth_requires_tls=True)
    assert GREETED.refuse_auth(needs_tls, "PLAIN") == replies.AUTH_NEEDS_TLS
    assert SECURE.refuse_auth(needs_tls, "PLAIN") is None


def test_what_chunks_exclude() -> None:
    begun = attrs.evolve(RCPT, hello="EHLO", chunks=ChunkReceiver())
    assert begun.refuse_rcpt() == begun.refuse_data() == replies.BAD_SEQUENCE
    assert begun.refuse_bdat(SETTINGS) is None
    binary = attrs.evolve(RCPT, hello="EHLO", parameters=MailParameters(body="BINARYMIME"))
    assert binary.refuse_data() == replies.BAD_SEQUENCE
    assert binary.refuse_bdat(SETTINGS) is None
    assert RCPT.refuse_bdat(SETTINGS) == replies.NOT_IMPLEMENTED
    assert REFUSED.refuse_bdat(attrs.evolve(SETTINGS, chunking=False)) == replies.NOT_IMPLEMENTED


def test_the_end_of_a_transaction_forgets_all_of_it_and_nothing_else() -> None:
    state = attrs.evolve(RCPT, authenticated=True, secure=True, chunks=ChunkReceiver(), refused=(BAD_SEQUENCE, 1))
    state.begin_transaction(MailParameters(body="BINARYMIME"))
    state.forget_transaction()
    assert state == SessionState(secure=True, authenticated=True, hello="HELO")


def test_tls_forgets_everything() -> None:
    state = attrs.evolve(RCPT, authenticated=True)
    state.begin_tls()
    assert state == SessionState(secure=True)


def test_helo_has_one_line() -> None:
    assert RCPT.greeting(SETTINGS) == Reply(250, "", "relay.example Hello [192.0.2.9]")
    assert len(GREETED.greeting(SETTINGS).lines) == 11
