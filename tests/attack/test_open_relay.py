"""The open-relay tests of nmap (1 to 16), abuse.net and ORDB, and newer ones: nobody relays without the right to.

C{akkaya.local} is ours, C{foreign.example} is not, the relay is C{relay.akkaya.local} at 192.168.1.5.  The client is outside every relay
range.  Each row: what stands behind MAIL FROM and RCPT TO, and the codes that RCPT may be answered with (the reply to a MAIL that is itself
refused counts as well).  Nothing that is refused ever reaches the spool.
"""

from __future__ import annotations

import ipaddress
from base64 import b64encode

import pytest
from OpenSSL import SSL

from tests.net.relay import PASSWORD, Client, FakeUsers, Relay

STRANGER = "203.0.113.9"
NOT_OURS, SYNTAX, EITHER, OURS = {550}, {501}, {550, 501, 553}, {250}
OURSELF = "<s@[192.168.1.5]>"

TABLE: list[tuple[str, str, str, set[int]]] = [
    ("nmap 1: null sender", "<>", "<u@foreign.example>", NOT_OURS),
    ("nmap 2: outsider to outsider", "<s@foreign.example>", "<u@foreign.example>", NOT_OURS),
    ("nmap 3: our own name is no credential", "<s@relay.akkaya.local>", "<u@foreign.example>", NOT_OURS),
    ("nmap 4: nor our own address", OURSELF, "<u@foreign.example>", NOT_OURS),
    ("nmap 5: percent hack to our address", OURSELF, "<u%foreign.example@[192.168.1.5]>", NOT_OURS),
    ("nmap 6: percent hack to our name", OURSELF, "<u%foreign.example@relay.akkaya.local>", NOT_OURS),
    ("nmap 7: quoted address without a domain", OURSELF, '<"u@foreign.example">', SYNTAX),
    ("nmap 8: quoted percent hack without a domain", OURSELF, '<"u%foreign.example">', SYNTAX),
    ("nmap 9: two at signs", OURSELF, "<u@foreign.example@[192.168.1.5]>", SYNTAX),
    ("nmap 10: quoted address at our address", OURSELF, '<"u@foreign.example"@[192.168.1.5]>', NOT_OURS),
    ("nmap 11: two at signs, our name", OURSELF, "<u@foreign.example@relay.akkaya.local>", SYNTAX),
    ("nmap 12: source route by our address", OURSELF, "<@[192.168.1.5]:u@foreign.example>", EITHER),
    ("nmap 13: source route by our name", OURSELF, "<@relay.akkaya.local:u@foreign.example>", EITHER),
    ("nmap 14: UUCP path", OURSELF, "<foreign.example!u>", SYNTAX),
    ("nmap 15: UUCP path at our address", OURSELF, "<foreign.example!u@[192.168.1.5]>", NOT_OURS),
    ("nmap 16: UUCP path at our name", OURSELF, "<foreign.example!u@relay.akkaya.local>", NOT_OURS),
    ("17: percent hack twice, at our domain", "<s@foreign.example>", "<u%foreign.example%x@akkaya.local>", NOT_OURS),
    ("17: percent hack behind the at sign", "<s@foreign.example>", "<u@x%foreign.example@akkaya.local>", EITHER),
    ("17: percent hack at our domain", "<s@foreign.example>", "<u%foreign.example@akkaya.local>", NOT_OURS),
    ("17: colon at our domain", "<s@foreign.example>", "<u:foreign.example@akkaya.local>", EITHER),
    ("17: quote and percent", "<s@foreign.example>", '<"u"%foreign.example@akkaya.local>', EITHER),
    ("17: quoted percent hack at our domain", "<s@foreign.example>", '<"u%foreign.example"@akkaya.local>', NOT_OURS),
    ("17: quoted address at our domain", "<s@foreign.example>", '<"u@foreign.example"@akkaya.local>', NOT_OURS),
    ("17: escaped at sign at our domain", "<s@foreign.example>", '<"u\\@foreign.example"@akkaya.local>', NOT_OURS),
    ("17: UUCP path at our domain", "<s@foreign.example>", "<foreign.example!u@akkaya.local>", NOT_OURS),
    ("18: route of two", "<s@foreign.example>", "<@a.example,@b.example:u@foreign.example>", EITHER),
    ("18: route by us to a UUCP path", "<s@foreign.example>", "<@akkaya.local:foreign.example!u>", EITHER),
    ("18: route by us", "<s@foreign.example>", "<@akkaya.local:u@foreign.example>", EITHER),
    ("18: route without a mailbox", "<s@foreign.example>", "<@akkaya.local:>", EITHER),
    ("19: final dot", "<s@foreign.example>", "<u@foreign.example.>", EITHER),
    ("19: capitals", "<s@foreign.example>", "<u@FOREIGN.EXAMPLE>", NOT_OURS),
    ("19: NUL before our domain", "<s@foreign.example>", "<u@foreign.example\0.akkaya.local>", SYNTAX),
    ("19: encoded NUL", "<s@foreign.example>", "<u@foreign.example%00akkaya.local>", EITHER),
    ("19: blank before our domain", "<s@foreign.example>", "<u@foreign.example .akkaya.local>", SYNTAX),
    ("19: tab", "<s@foreign.example>", "<u@foreign.example\t.akkaya.local>", SYNTAX),
    ("20: our domain in front", "<s@foreign.example>", "<u@akkaya.local.foreign.example>", NOT_OURS),
    ("20: no label boundary", "<s@foreign.example>", "<u@xakkaya.local>", NOT_OURS),
    ("20: a subdomain that is not accepted", "<s@foreign.example>", "<u@sub.akkaya.local>", NOT_OURS),
    ("21: a foreign address", "<s@foreign.example>", "<u@[198.51.100.1]>", NOT_OURS),
    ("21: our own address", "<s@foreign.example>", "<u@[192.168.1.5]>", NOT_OURS),
    ("21: IPv4 in IPv6", "<s@foreign.example>", "<u@[IPv6:::ffff:192.168.1.5]>", EITHER),
    ("21: hexadecimal", "<s@foreign.example>", "<u@0xC0A80105>", EITHER),
    ("21: decimal", "<s@foreign.example>", "<u@3232235781>", EITHER),
    ("22: no brackets", "<s@foreign.example>", "u@foreign.example", EITHER),
    ("22: a space", "<s@foreign.example>", " <u@foreign.example>", EITHER),
    ("22: no closing bracket", "<s@foreign.example>", "<u@foreign.example", SYNTAX),
    ("22: brackets in brackets", "<s@foreign.example>", "<<u@foreign.example>>", SYNTAX),
    ("22: two addresses", "<s@foreign.example>", "<u@akkaya.local> <u@foreign.example>", EITHER),
    ("22: a list", "<s@foreign.example>", "<u@akkaya.local,u@foreign.example>", SYNTAX),
    ("22: a shell", "<s@foreign.example>", "<|/bin/sh@akkaya.local>", OURS),
    ("23: sharp s", "<s@foreign.example>", "<u@akkaya.locaß>", {553}),
    ("23: full-width dot of another domain", "<s@foreign.example>", "<u@foreign\uff0eexample>", {553}),
    ("23: Cyrillic a", "<s@foreign.example>", "<u@\u0430kkaya.local>", {553}),
    ("24: postmaster", "<s@foreign.example>", "<postmaster>", OURS),
    ("24: postmaster in capitals", "<>", "<POSTMASTER>", OURS),
    ("24: postmaster here", "<>", "<postmaster@akkaya.local>", OURS),
    ("24: postmaster there", "<s@foreign.example>", "<postmaster@foreign.example>", NOT_OURS),
    ("25: ours", "<s@foreign.example>", "<u@akkaya.local>", OURS),
    ("25: ours in capitals", "<s@foreign.example>", "<u@AKKAYA.LOCAL>", OURS),
    ("26: ORCPT elsewhere", "<s@foreign.example>", "<u@foreign.example> ORCPT=rfc822;u@akkaya.local", {550, 555}),
    ("26: AUTH of one of us", "<s@foreign.example> AUTH=cengiz@akkaya.local", "<u@foreign.example>", NOT_OURS),
]


def stranger(**connector: object) -> tuple[Relay, Client]:
    """A client from nowhere, behind EHLO, at a connector that lets it try."""
    relay = Relay({"Default Frontend": {"max_protocol_errors": "unlimited", **connector}})
    relay.certificates.context = SSL.Context(SSL.TLS_METHOD)
    client = relay.connect(STRANGER)
    client.command("EHLO [192.168.1.5]")
    return relay, client


def tries_to_relay(client: Client, relay: Relay) -> int:
    """The code of RCPT for an outside recipient; nothing may have been stored behind it."""
    client.said()
    client.send(b"MAIL FROM:<s@foreign.example>\r\nRCPT TO:<u@foreign.example>\r\nDATA\r\n")
    codes = client.codes()
    assert codes[2] in (503, 554)
    assert relay.spool.stored == []
    return codes[1]


@pytest.mark.parametrize("lenient", [True, False], ids=["lenient", "strict"])
@pytest.mark.parametrize(("sender", "recipient", "codes"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_table(sender: str, recipient: str, codes: set[int], lenient: bool) -> None:
    """Each row, on a connector for devices and on a strict one; and what is refused stays refused at DATA."""
    relay, client = stranger(lenient_syntax_enabled=lenient)
    said = client.command(f"MAIL FROM:{sender}")
    if said.startswith("250"):
        said = client.command(f"RCPT TO:{recipient}")
    assert int(said[:3]) in codes, said
    if codes is not OURS:
        assert client.command("DATA")[:3] in ("503", "554")
        assert relay.spool.stored == []


def test_26_after_a_failed_login() -> None:
    """A refused login leaves no trace of a right."""
    relay, client = stranger()
    assert client.login("wrong").startswith("535")
    assert tries_to_relay(client, relay) == 550


def test_26_after_a_login_and_a_new_connection() -> None:
    """A right belongs to its session, not to the address it was given at."""
    relay, client = stranger()
    assert client.login().startswith("235")
    assert client.command(f"MAIL FROM:<{FakeUsers.address}>").startswith("250")
    assert client.command("RCPT TO:<u@foreign.example>").startswith("250")
    client.transport.close()
    client = relay.connect(STRANGER)
    client.command("EHLO x")
    assert tries_to_relay(client, relay) == 550


def test_26_after_a_login_and_rset_the_right_is_still_that_of_the_login_only() -> None:
    """RSET keeps the login (RFC 4954), and with it only its own senders."""
    _, client = stranger()
    client.login()
    client.command("RSET")
    assert client.command("MAIL FROM:<s@foreign.example>").startswith("550 5.7.60")
    assert client.command(f"MAIL FROM:<{FakeUsers.address}>").startswith("250")


def test_26_after_a_login_and_starttls() -> None:
    """A login in the clear does not pass into TLS: STARTTLS is refused behind it."""
    relay, client = stranger()
    client.login()
    assert client.command("STARTTLS").startswith("503")
    relay, client = stranger()
    assert client.command("STARTTLS").startswith("220")
    client.command("EHLO x")
    assert tries_to_relay(client, relay) == 550


@pytest.mark.parametrize("name", ["relay.akkaya.local", "akkaya.local", "[192.168.1.5]", "[127.0.0.1]", "localhost"])
def test_26_a_trusted_hosts_name(name: str) -> None:
    """What a client calls itself is no right."""
    relay, client = stranger()
    client.command(f"EHLO {name}")
    assert tries_to_relay(client, relay) == 550


@pytest.mark.parametrize(
    "line",
    [
        "XCLIENT ADDR=127.0.0.1 LOGIN=cengiz@akkaya.local",
        "XFORWARD ADDR=127.0.0.1",
        "PROXY TCP4 127.0.0.1 192.168.1.5 50000 25",
        "XSHADOW x",
        "X-EXPS GSSAPI",
        "XPROXY SID=1 IP=127.0.0.1",
    ],
)
def test_26_a_stranger_speaks_for_others(line: str) -> None:
    """The words that trusted hosts may use are bad commands from others."""
    relay, client = stranger()
    assert client.command(line)[0] == "5"
    assert tries_to_relay(client, relay) == 550


def test_26_a_login_that_smuggles_its_name() -> None:
    """AUTH PLAIN with an authorisation identity of somebody else."""
    relay, client = stranger(max_logon_failures=0)
    for identity in ("admin@akkaya.local", "Externally Secured Servers", "Anonymous Logon"):
        said = client.command("AUTH PLAIN " + b64encode(f"{identity}\0{FakeUsers.address}\0{PASSWORD}".encode()).decode())
        assert said.startswith("535"), said
    assert tries_to_relay(client, relay) == 550


RANGES = {
    "Default Frontend": {"max_protocol_errors": "unlimited"},
    "IP_Relay": {
        "remote_ip_ranges": ["10.1.2.16-10.1.2.31", "2001:db8::10-2001:db8::1f"],
        "extended_rights": {"Anonymous Logon": ["Accept-Any-Recipient"]},
        "permission_groups": ["AnonymousUsers"],
    },
    "Not these": {"remote_ip_ranges": ["10.1.2.20-10.1.2.21"], "permission_groups": ["AnonymousUsers"]},
    "Nobody": {"remote_ip_ranges": ["10.1.2.25"], "permission_groups": ["ExchangeUsers"]},
}


@pytest.mark.parametrize(
    ("peer", "may_relay"),
    [
        ("10.1.2.15", False),
        ("10.1.2.16", True),
        ("10.1.2.19", True),
        ("10.1.2.20", False),
        ("10.1.2.21", False),
        ("10.1.2.22", True),
        ("10.1.2.25", False),
        ("10.1.2.31", True),
        ("10.1.2.32", False),
        ("::ffff:10.1.2.16", True),
        ("::ffff:10.1.2.20", False),
        ("::ffff:10.1.2.32", False),
        ("2001:db8::f", False),
        ("2001:db8::10", True),
        ("2001:db8::1f", True),
        ("2001:db8::20", False),
        ("::10.1.2.16", False),
        ("127.0.0.1", False),
        ("::1", False),
    ],
)
def test_27_both_sides_of_each_edge(peer: str, may_relay: bool) -> None:
    """The most specific range decides, also for IPv4 in IPv6; a hole in a range is a hole."""
    relay = Relay({name: {"bindings": ["0.0.0.0:25", "[::]:25"], **keys} for name, keys in RANGES.items()})
    six = ipaddress.ip_address(peer).version == 6
    factory = next(one for one in relay.factories if (":" in str(one.binding.host)) == six)
    relay.factories = [factory]
    client = relay.connect(peer, "2001:db8::5" if six else "192.168.1.5")
    client.command("EHLO x")
    said = client.command("MAIL FROM:<s@foreign.example>")
    if said.startswith("250"):
        said = client.command("RCPT TO:<u@foreign.example>")
    assert said.startswith("250") == may_relay, said


def test_28_nobody_is_asked_about() -> None:
    """VRFY and EXPN tell nothing."""
    _, client = stranger()
    assert client.command("VRFY u@foreign.example").startswith("252")
    assert client.command("VRFY u@akkaya.local").startswith("252")
    assert client.command("EXPN staff").startswith("502")
