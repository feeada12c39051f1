"""AUTH in sessions: what waits, what is counted, what is locked, and when a login is in force."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

import attrs
import pytest
import trustme
from cryptography import x509
from OpenSSL import SSL
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from tests.interop import saslclient
from tests.net.relay import CLIENT, PASSWORD, Client, FakeUsers, Relay
from tests.wire.test_scram import verifier
from twistedrelay.net.login import sasl_mechanisms
from twistedrelay.policy.certificates import CertificateChecker
from twistedrelay.policy.checkers import AnonymousChecker, ChainingChecker
from twistedrelay.policy.realm import RelayRealm
from twistedrelay.policy.threads import LoginUnavailable
from twistedrelay.values import events
from twistedrelay.values import reply as replies

USER = FakeUsers.address
LOCKED = "454 4.7.0 Too many failed logons, try again later (logon_lockout_threshold)"


def relay_with(**keys: Any) -> Relay:
    return Relay({"Default Frontend": {"auth_mechanism": ["Tls", "BasicAuth", "ScramSha256"], "max_logon_failures": 0, **keys}})


def hello(relay: Relay, peer: str = CLIENT) -> Client:
    client = relay.connect(peer)
    client.command("EHLO x.example")
    return client


def say(client: Client) -> saslclient.Say:
    return lambda line: client.command(line).removesuffix("\r\n")


def scram_first(name: str = USER) -> str:
    return "AUTH SCRAM-SHA-256 " + b64encode(f"n,,n={name},r=clients-nonce".encode()).decode()


def test_the_mechanisms_of_a_connector() -> None:
    def offer(*mechanisms: str) -> tuple[str, ...]:
        return sasl_mechanisms(Relay({"A": {"auth_mechanism": list(mechanisms)}}).config.receive_connectors["A"])

    assert offer("Tls") == ()
    assert offer("Tls", "BasicAuth", "BasicAuthRequireTLS") == ("LOGIN", "PLAIN")
    assert offer("XOAuth2", "External", "Tls", "ScramSha256") == (
        "SCRAM-SHA-256-PLUS",
        "SCRAM-SHA-256",
        "EXTERNAL",
        "XOAUTH2",
        "OAUTHBEARER",
    )
    assert offer("CramMd5") == ("CRAM-MD5",)


def test_scram_through_the_portal() -> None:
    relay = relay_with()
    client = hello(relay)
    assert saslclient.scram(say(client), USER, PASSWORD) == "235 2.7.0 Authentication successful"
    assert client.session.avatar.login == USER
    [logged_in] = relay.events.of(events.LoggedIn)
    assert (logged_in.mechanism, logged_in.user) == ("SCRAM-SHA-256", USER)
    for user, secret in ((USER, "wrong"), ("nobody@akkaya.local", "nobody's password"), ("nobody@akkaya.local", "x")):
        client = hello(relay)
        assert saslclient.scram(say(client), user, secret) == "535 5.7.3 Authentication unsuccessful"
        assert client.session.avatar.is_anonymous


def test_a_login_that_the_client_does_not_agree_to_is_none() -> None:
    """The server could not prove itself: the client goes away, and nobody is logged in."""
    relay = relay_with()
    client = hello(relay)

    def distrust(line: str) -> str:
        return say(client)(line or "*")

    assert saslclient.scram(distrust, USER, PASSWORD).startswith("501")
    assert client.session.avatar.is_anonymous
    assert relay.events.of(events.LoggedIn) == []
    assert saslclient.plain(say(client), USER, PASSWORD).startswith("235")
    assert [event.mechanism for event in relay.events.of(events.LoggedIn)] == ["PLAIN"]


def test_rights_change_before_the_next_command_is_looked_at() -> None:
    relay = relay_with(permission_groups=["ExchangeUsers"])
    client = hello(relay)
    auth = "AUTH PLAIN " + b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
    client.send(f"MAIL FROM:<{USER}>\r\n{auth}\r\nMAIL FROM:<{USER}>\r\nRCPT TO:<x@gmail.com>\r\n".encode())
    assert client.codes() == [530, 235, 250, 250]


def test_a_look_up_holds_its_session_and_no_other() -> None:
    relay = relay_with()
    waiting: list[Deferred[Any]] = []
    relay.users.answer = lambda: waiting.append(Deferred()) or waiting[-1]  # type: ignore[func-returns-value]
    first, second = hello(relay), hello(relay)
    first.send(scram_first().encode() + b"\r\nNOOP\r\n")
    assert first.said() == ""
    assert second.command("NOOP").startswith("250")
    relay.pass_time(1000)
    assert not first.is_closing, "the time that we take is not the peer's"
    waiting[0].callback((relay.users, verifier(PASSWORD)))
    said = first.said().splitlines()
    assert said[0].startswith("334 ")
    assert said[1].startswith("501 "), "NOOP is no response to a challenge"


def test_a_client_that_leaves_during_a_look_up() -> None:
    relay = relay_with()
    waiting: list[Deferred[Any]] = []
    relay.users.answer = lambda: waiting.append(Deferred()) or waiting[-1]  # type: ignore[func-returns-value]
    client = hello(relay)
    client.command(scram_first())
    client.transport.close()
    waiting[0].callback((relay.users, verifier(PASSWORD)))
    client = hello(relay)
    client.command(scram_first())
    client.transport.close()
    waiting[1].errback(Failure(LoginUnavailable("too many")))
    assert relay.events.of(events.LoginFailed) == []


def test_a_look_up_that_cannot_be_made() -> None:
    relay = relay_with()
    relay.users.answer = lambda: fail(LoginUnavailable("too many logins wait"))
    client = hello(relay)
    assert client.command(scram_first()).startswith("454 4.7.0")
    assert client.command("NOOP").startswith("250")


def test_failures_lock_by_network_and_name() -> None:
    relay = relay_with(auth_tarpit_interval="0s")
    mechanisms = (saslclient.plain, saslclient.login, saslclient.scram)
    client = hello(relay)
    for number in range(10):
        assert mechanisms[number % 3](say(client), USER, "wrong").startswith("535")
    for mechanism in mechanisms:
        assert mechanism(say(client), USER, PASSWORD) == LOCKED
    assert saslclient.plain(say(hello(relay, "192.168.1.99")), USER, PASSWORD) == LOCKED, "the whole network"
    assert saslclient.plain(say(hello(relay, "192.168.2.99")), USER, PASSWORD).startswith("235"), "nobody else"
    [lock] = relay.events.of(events.LogonLocked)
    assert (lock.user, lock.source, lock.limit, lock.seconds) == (USER, "192.168.1.0/24", "logon_lockout_threshold", 30.0)
    assert len(relay.events.of(events.LoginFailed)) == 10, "what is locked is not looked at"
    relay.clock.advance(30)
    assert saslclient.scram(say(client), USER, PASSWORD).startswith("235")


def test_guesses_at_the_same_time_do_not_tell_which_was_right() -> None:
    relay = relay_with()
    waiting: list[Deferred[Any]] = []
    relay.users.answer = lambda: waiting.append(Deferred()) or waiting[-1]  # type: ignore[func-returns-value]
    clients = [hello(relay) for _ in range(11)]
    for client in clients:
        assert client.login("a guess") == ""
    for answer in waiting[:10]:
        answer.callback(None)
    waiting[10].callback(relay.users)
    assert [client.said()[:3] for client in clients] == ["535"] * 10 + ["454"]
    assert relay.events.of(events.LoggedIn) == []


def test_locked_logons_are_delayed_and_counted_too() -> None:
    relay = relay_with(auth_tarpit_interval="5s", max_logon_failures=3)
    for _ in range(10):
        relay.reception.lockout.failed(relay.connect().session.facts.peer, USER)
    client = hello(relay)
    for expected in (LOCKED, LOCKED, str(replies.TOO_MANY_FAILED_LOGONS)):
        assert client.login() == ""
        relay.clock.advance(5)
        assert client.said().strip() == expected
    assert client.is_closing
    client.transport.close()
    assert relay.events.of(events.Disconnected)[-1].reason == "logon_lockout_threshold"


def test_a_success_forgets_mistakes() -> None:
    relay = relay_with()
    for _ in range(3):
        client = hello(relay)
        for _ in range(9):
            assert client.login("wrong").startswith("535")
        assert client.login().startswith("235")
    assert relay.events.of(events.LogonLocked) == []


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256-PLUS", "EXTERNAL", "XOAUTH2", "OAUTHBEARER"])
def test_what_needs_tls_is_not_taken_without(mechanism: str) -> None:
    relay = relay_with(auth_mechanism=["Tls", "BasicAuth", "ScramSha256", "External", "XOAuth2"], tls_client_ca_file="/ca.pem")
    client = hello(relay)
    assert "AUTH LOGIN PLAIN SCRAM-SHA-256\r\n" in client.command("EHLO again")
    assert client.command(f"AUTH {mechanism}").startswith("538")


class Handle:
    """A TLS connection whose client has shown a certificate that was found good, or none."""

    def __init__(self, *names: str) -> None:
        self._certificate = None
        if names:
            self._certificate = x509.load_pem_x509_certificate(trustme.CA().issue_cert(*names).cert_chain_pems[0].bytes())

    def get_app_data(self) -> bool:
        return self._certificate is not None

    def get_peer_certificate(self, as_cryptography: bool = False) -> Any:
        return self._certificate

    def get_protocol_version_name(self) -> str:
        return "TLSv1.3"

    def get_cipher_name(self) -> str:
        return "TLS_AES_256_GCM_SHA384"


def after_handshake(handle: Handle) -> Client:
    """A session under TLS that offers EXTERNAL."""
    connector = {"auth_mechanism": ["Tls", "External"], "tls_client_ca_file": "/ca.pem", "implicit_tls": True, "max_logon_failures": 0}
    relay = Relay({"Submissions": connector})
    relay.certificates.context = SSL.Context(SSL.TLS_SERVER_METHOD)
    users: Any = relay.users
    chain = ChainingChecker([CertificateChecker(users)], relay.clock)
    relay.replace(portal=Portal(RelayRealm(relay.config), [chain, AnonymousChecker()]))
    client = relay.connect()
    client.transport.getHandle = lambda: handle  # type: ignore[attr-defined]
    client.session.handshakeCompleted()
    client.said()
    return client


def test_external_is_for_those_with_a_certificate() -> None:
    client = after_handshake(Handle())
    assert "AUTH" not in client.command("EHLO x.example")
    assert client.command("AUTH EXTERNAL =").startswith("504")
    client = after_handshake(Handle(USER))
    assert "AUTH EXTERNAL\r\n" in client.command("EHLO x.example")
    assert client.command("AUTH EXTERNAL =").startswith("235")
    assert client.session.avatar.login == USER
    client = after_handshake(Handle("stranger@akkaya.local"))
    client.command("EHLO x.example")
    for _ in range(20):
        assert client.command("AUTH EXTERNAL =").startswith("535"), "a certificate is no guess"


def test_a_host_that_speaks_for_others_does_not_lend_its_certificate() -> None:
    client = after_handshake(Handle(USER))
    client.session.facts = attrs.evolve(client.session.facts)  # as after XCLIENT
    client.command("EHLO x.example")
    assert client.command("AUTH EXTERNAL =").startswith("535")


def test_nobody_acts_as_another() -> None:
    relay = relay_with()
    client = hello(relay)
    said = client.command("AUTH PLAIN " + b64encode(f"boss@akkaya.local\0{USER}\0{PASSWORD}".encode()).decode())
    assert said.startswith("535")
    first = b64encode(f"n,a=boss@akkaya.local,n={USER},r=clients-nonce".encode()).decode()
    challenge = client.command(f"AUTH SCRAM-SHA-256 {first}")
    assert b"r=clients-nonce" in b64decode(challenge[4:])


def test_a_checker_that_breaks_is_454_and_counts_for_nothing() -> None:
    relay = relay_with()
    client = hello(relay)
    for _ in range(30):
        relay.users.answer = lambda: fail(OSError("the disk"))
        assert client.login().startswith("454 4.7.0 Temporary")
    relay.users.answer = lambda: succeed(relay.users)
    assert client.login().startswith("235")
