"""The set-up of a session: banner, EHLO, STARTTLS, AUTH."""

from __future__ import annotations

import pytest

from tests.wire.client_peer import EHLO, Peer
from twistedrelay.values.reply import Reply
from twistedrelay.wire.client_values import (
    Broken,
    ClientSettings,
    Credentials,
    Ready,
    Stage,
    StartHandshake,
)

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
    peer.says(b"220 x\r\n250-x\r\n250 AUTH NTLM GSSAPI\r\n")
    assert peer.last(Broken).reply.code == 454


def test_refused_login_does_not_bounce_mail() -> None:
    peer = Peer(SECURE)
    peer.says(b"220 x\r\n250-x\r\n250 AUTH PLAIN\r\n")
    peer.says(b"535 5.7.8 bad password\r\n")
    assert peer.last(Broken) == Broken(Reply(454, "4.7.0", "Login refused by the server: 535 5.7.8 bad password"), True, Stage.AUTH, True)


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


def test_force_helo() -> None:
    peer = Peer(ClientSettings("relay.test", force_helo=True))
    assert peer.says(b"220 mx.test ESMTP\r\n") == b"HELO relay.test\r\n"
    peer.says(b"250 mx.test\r\n")
    assert isinstance(peer.events[-1], Ready)
    assert peer.engine.features == {}


def test_force_helo_cannot_be_had_with_tls() -> None:
    peer = Peer(ClientSettings("relay.test", starttls="must", force_helo=True))
    peer.says(b"220 mx.test\r\n250 mx.test\r\n")
    assert peer.events[-1].reply.code == 451
