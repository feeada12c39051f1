"""Connecting: the connector for a peer, its limits, the login through the portal, the banner."""

from __future__ import annotations

from typing import Any

from twisted.cred.checkers import ANONYMOUS
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHandshakeListener, IProtocol, IPushProducer
from twisted.logger import capturedLogs
from zope.interface.verify import verifyObject

from tests.net.relay import FQDN, Relay
from twistedrelay.interfaces import IRelaySession, ISessions
from twistedrelay.policy.credentials import IRemoteHost
from twistedrelay.policy.realm import SessionFacts
from twistedrelay.values import events

TURNED_AWAY = "421 4.3.2 Service not available\r\n"
TWO = {
    "Default Frontend": {},
    "IP_Relay": {"remote_ip_ranges": ["192.168.1.55"], "extended_rights": {"Anonymous Logon": ["Accept-Any-Recipient"]}},
}


def test_the_interfaces_that_twisted_looks_for() -> None:
    relay = Relay()
    session = relay.connect().session
    assert verifyObject(IProtocol, session)
    assert verifyObject(IPushProducer, session)
    assert verifyObject(IHandshakeListener, session)
    assert verifyObject(ISessions, relay.sessions)


def test_the_most_specific_remote_range_decides() -> None:
    relay = Relay(TWO)
    for peer, expected in (("192.168.1.55", "IP_Relay"), ("192.168.1.56", "Default Frontend"), ("::ffff:192.168.1.55", "IP_Relay")):
        relay.connect(peer)
        assert relay.events.of(events.Connected)[-1].connector == expected


def test_what_the_connector_allows_is_what_the_session_may() -> None:
    relay = Relay(TWO)
    for peer, expected in (("192.168.1.55", [220, 250, 250, 250]), ("192.168.1.56", [220, 250, 250, 550])):
        client = relay.connect(peer)
        client.send(b"helo\r\nmail from: a@b.example\r\nrcpt to: cengiz@gmail.com\r\n")
        assert client.codes() == expected


def test_a_specific_local_address_goes_before_the_wildcard() -> None:
    relay = Relay({"Wide": {}, "Inside": {"bindings": ["192.168.1.5:25"], "remote_ip_ranges": ["192.168.0.0/16"]}})
    for local, peer, expected in (
        ("192.168.1.5", "192.168.9.9", "Inside"),
        ("192.168.1.6", "192.168.9.9", "Wide"),
        ("192.168.1.5", "10.0.0.1", "Wide"),
    ):
        relay.connect(peer, local)
        assert relay.events.of(events.Connected)[-1].connector == expected


def test_nobody_wants_the_peer() -> None:
    relay = Relay({"Inside": {"remote_ip_ranges": ["10.0.0.0/8"]}})
    client = relay.connect("192.0.2.1")
    assert client.said() == TURNED_AWAY
    assert client.is_closing
    [refused] = relay.events.of(events.ConnectionRefused)
    assert (refused.connector, refused.peer, refused.reply.code) == ("", "192.0.2.1:50000", 421)
    client.send(b"EHLO x\r\n")
    assert client.said() == ""
    client.transport.close()
    assert relay.sessions.count() == 0
    assert not relay.events.of(events.Disconnected)


def test_a_peer_that_does_not_read_its_refusal_is_dropped() -> None:
    relay = Relay({"Inside": {"remote_ip_ranges": ["10.0.0.0/8"]}})
    client = relay.connect("192.0.2.1")
    relay.pass_time(11)
    assert client.transport.closed
    assert relay.sessions.count() == 0


def test_a_limit_names_itself_and_leaks_nothing() -> None:
    for limit, keys in (
        ("max_inbound_connection", {"max_inbound_connection": 2, "max_inbound_connection_percentage_per_source": 100}),
        ("max_inbound_connection_per_source", {"max_inbound_connection_per_source": 2}),
        (
            "max_inbound_connection_percentage_per_source",
            {"max_inbound_connection": 10, "max_inbound_connection_percentage_per_source": 20},
        ),
    ):
        relay = Relay({"Default Frontend": keys})
        clients = []
        while not relay.events.of(events.ConnectionRefused):
            # the limit on all connections must be met from several addresses
            clients.append(relay.connect(f"10.0.0.{len(clients)}" if limit == "max_inbound_connection" else "10.0.0.1"))
            assert len(clients) < 5
        [refused] = relay.events.of(events.ConnectionRefused)
        assert refused.limit == limit
        assert refused.connector == "Default Frontend"
        assert clients[-1].said().startswith("421 4.3.2 The maximum number of concurrent connections")
        assert relay.counts.total("Default Frontend") == len(clients) - 1
        for client in clients:
            client.transport.close()
        assert relay.counts.total("Default Frontend") == 0
        assert relay.sessions.count() == 0
        assert relay.connect("10.0.0.1").codes() == [220]


def test_every_session_logs_in_through_the_portal() -> None:
    """Anonymous ones too: the credentials are the peer's address, the mind is the session's facts."""
    asked: list[Any] = []

    class Watched(Portal):
        def login(self, credentials: Any, mind: Any, *interfaces: Any) -> Deferred[Any]:
            asked.append((credentials, mind, interfaces))
            return inner.login(credentials, mind, *interfaces)

    inner = Relay().reception.portal
    relay = Relay(portal=Watched(inner.realm))
    assert relay.connect("192.168.1.30").codes() == [220]
    [(credentials, mind, interfaces)] = asked
    assert IRemoteHost.providedBy(credentials)
    assert str(credentials.host) == "192.168.1.30"
    assert isinstance(mind, SessionFacts)
    assert (mind.connector_name, str(mind.local)) == ("Default Frontend", "192.168.1.5")
    assert interfaces == (IRelaySession,)
    assert relay.events.of(events.PermissionsSet)[0].principal == "Anonymous Logon"


class SlowPortal(Portal):
    """Lets the test say when a login ends."""

    def __init__(self) -> None:
        super().__init__(None)
        self.logins: list[tuple[Deferred[Any], SessionFacts]] = []

    def login(self, credentials: Any, mind: Any, *interfaces: Any) -> Deferred[Any]:
        self.logins.append((Deferred(), mind))
        return self.logins[-1][0]


def test_a_login_may_take_its_time() -> None:
    """What the client sends meanwhile waits; when it leaves, the late avatar is logged out."""
    portal = SlowPortal()
    relay = Relay(portal=portal)
    realm = Relay().reception.portal.realm
    client = relay.connect()
    client.send(b"EHLO early.example\r\n")
    assert client.said() == ""
    relay.pass_time(400)
    assert not client.is_closing, "the time that we take is not the client's"
    deferred, facts = portal.logins[0]
    deferred.callback(realm.requestAvatar(ANONYMOUS, facts, IRelaySession))
    assert client.codes() == [220, 250]

    gone: list[bool] = []
    client = relay.connect()
    client.transport.close()
    portal.logins[1][0].callback((IRelaySession, object(), lambda: gone.append(True)))
    assert gone == [True]


def test_no_avatar_is_our_own_fault() -> None:
    portal = SlowPortal()
    relay = Relay(portal=portal)
    client = relay.connect()
    with capturedLogs() as logs:
        portal.logins[0][0].errback(RuntimeError("broken"))
    assert client.said() == TURNED_AWAY
    assert client.is_closing
    assert any("no avatar" in entry["log_format"] for entry in logs)


def test_the_banner() -> None:
    banner = Relay().connect().said()
    assert banner.startswith(f"220 {FQDN} twistedrelay ESMTP MAIL Service ready at ")
    assert banner.endswith("\r\n")
    assert banner.count("\r\n") == 1
    assert Relay({"Default Frontend": {"banner": "220 Welcome to nothing"}}).connect().said() == "220 Welcome to nothing\r\n"


def test_the_end_of_a_session_gives_back_what_it_held() -> None:
    relay = Relay()
    client = relay.connect()
    assert relay.sessions.count() == 1
    assert relay.counts.total("Default Frontend") == 1
    relay.clock.advance(7)
    client.send(b"QUIT\r\n")
    assert client.codes() == [220, 221]
    assert client.is_closing
    client.transport.close()
    assert relay.sessions.count() == 0
    assert relay.counts.total("Default Frontend") == 0
    [ended] = relay.events.of(events.Disconnected)
    assert (ended.reason, ended.messages, ended.seconds) == ("QUIT", 0, 7)
    assert relay.clock.getDelayedCalls() == []


def test_an_avatar_is_logged_out_when_another_takes_its_place_and_at_the_end() -> None:
    gone: list[str] = []
    ordinary = Relay().reception.portal

    class Watching(Portal):
        def login(self, credentials: Any, mind: Any, *interfaces: Any) -> Deferred[Any]:
            def watched(login: Any) -> Any:
                return login[0], login[1], lambda: gone.append(login[1].principal)

            return ordinary.login(credentials, mind, *interfaces).addCallback(watched)

    relay = Relay(portal=Watching(ordinary.realm))
    client = relay.connect()
    client.command("EHLO x.example")
    assert gone == []
    assert client.login()[:3] == "235"
    assert gone == ["Anonymous Logon"]
    client.transport.close()
    assert gone == ["Anonymous Logon", "cengiz@akkaya.local"]


def test_the_relay_is_full() -> None:
    """server.max_connections counts what every listener has."""
    every = {"max_inbound_connection_per_source": "unlimited", "max_inbound_connection_percentage_per_source": 100}
    relay = Relay({"One": every, "Two": {**every, "bindings": ["0.0.0.0:26"]}}, max_connections=10)
    clients = [relay.connect(port=25 + number % 2) for number in range(10)]
    assert [client.codes() for client in clients] == [[220]] * 10
    refused = relay.connect()
    assert refused.codes() == [421]
    assert refused.is_closing
    assert relay.events.of(events.ConnectionRefused)[0].limit == "server.max_connections"
    refused.transport.close()
    clients[0].transport.close()
    assert relay.connect().codes() == [220]
    assert relay.counts.open == 10


def test_sessions_of_former_factories_are_kept_and_let_go_in_their_order() -> None:
    relay = Relay(TWO)
    first = relay.connect()
    released: list[str] = []
    later = Relay(TWO, clock=relay.clock)
    relay.sessions.change(later.factories, lambda: released.append("first"))
    second = later.connect()
    relay.sessions.change([], lambda: released.append("second"))
    assert relay.sessions.count() == 2
    second.session.connectionLost()
    relay.sessions.sweep(relay.clock.seconds())
    assert (relay.sessions.count(), released) == (1, [])
    first.session.connectionLost()
    relay.sessions.sweep(relay.clock.seconds())
    assert (relay.sessions.count(), released) == (0, ["first", "second"])
