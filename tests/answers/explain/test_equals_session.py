"""The key proof: an explanation says what a session says, over many configurations, clients and commands."""

from __future__ import annotations

import base64
import datetime
from typing import Any

from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from tests.answers.explain.asking import Actor, explained
from tests.net.relay import NOON, FakeUsers, Relay
from twistedrelay.answers.explain.question import Question
from twistedrelay.answers.explain.rehearsal import HANDSHAKE
from twistedrelay.answers.explain.stage import Passing
from twistedrelay.config.pressure import BackPressure as Settings
from twistedrelay.policy.connector import conflicts
from twistedrelay.policy.pressure import BackPressure, Reading
from twistedrelay.policy.throttle import ConnectionRate
from twistedrelay.values.netrange import parse_ip

TODAY = datetime.date.fromtimestamp(NOON)

RANGES = (
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.2.0/28",
    "10.1.2.3",
    "10.1.2.4-10.1.2.6",
    "192.168.1.0/24",
    "::/0",
    "2001:db8::/32",
)
CLIENTS = ("10.1.2.3", "10.1.2.5", "10.1.200.1", "10.9.9.9", "192.168.1.30", "203.0.113.9", "::ffff:10.1.2.3", "2001:db8::7", "fe80::1")
GROUPS = (
    ["AnonymousUsers"],
    ["AnonymousUsers", "ExchangeUsers"],
    ["AnonymousUsers", "ExchangeServers"],
    ["ExchangeUsers"],
    ["Partners"],
)
SENDERS = ("", "a@client.example", "boss@akkaya.local", FakeUsers.address, "ü@x.example", "x@sub.akkaya.local")
RECIPIENTS = (
    "user@akkaya.local",
    "someone@gmail.com",
    "postmaster",
    "a%b@akkaya.local",
    "x@sub.partner.example",
    "user@localhost",
    "user@host.test",
    "jürgen@akkaya.local",
)
RIGHTS = (
    "Accept-Any-Recipient",
    "Accept-Any-Sender",
    "ms-Exch-SMTP-Submit",
    "Bypass-Message-Size-Limit",
    "Accept-Authoritative-Domain-Sender",
)
PRINCIPALS = ("Anonymous Logon", "Authenticated Users", "Externally Secured Servers", FakeUsers.address)

#: Resources that run short while a relay runs: most do not.
SHORT = st.sampled_from(({}, {}, {}, {"used_disk_space": 95.0}, {"private_bytes": 73.0}, {"submission_queue_length": 12_000.0}))

#: A login of the one account, with a wrong password.
WRONG = base64.b64encode(f"\0{FakeUsers.address}\0guessed".encode()).decode()

CERTIFICATES = Passing()

flags = st.booleans()


#: Last days of an entry: most have none.
DAYS = st.sampled_from((None, None, None, TODAY - datetime.timedelta(days=1), TODAY, TODAY + datetime.timedelta(days=9)))


def connectors(bindings: tuple[str, ...], implicit_tls: bool) -> st.SearchStrategy[dict[str, Any]]:
    """A receive connector."""
    return st.fixed_dictionaries(
        {
            "bindings": st.lists(st.sampled_from(bindings), min_size=1, max_size=2, unique=True),
            "enabled": st.sampled_from((True, True, True, False)),
            "implicit_tls": st.just(implicit_tls),
            "permission_groups": st.sampled_from(GROUPS),
            "auth_mechanism": st.sampled_from(
                (
                    ["Tls"],
                    ["Tls", "BasicAuth"],
                    ["Tls", "BasicAuth", "BasicAuthRequireTLS"],
                    ["Tls", "ExternalAuthoritative"],
                    ["Tls", "BasicAuth"],
                    ["None"],
                    ["BasicAuth"],
                    ["BasicAuth", "BasicAuthRequireTLS"],
                    ["Tls", "BasicAuth", "ScramSha256"],
                )
            ),
            "extended_rights": st.dictionaries(
                st.sampled_from(PRINCIPALS), st.lists(st.sampled_from(RIGHTS), min_size=1, max_size=3), max_size=2
            ),
        },
        optional={
            "require_tls": flags,
            "tarpit_interval": st.sampled_from(("0s", "5s")),
            "max_message_size": st.sampled_from(("64KB", "1MB")),
            "max_recipients_per_message": st.integers(1, 3),
            "size_enabled": st.sampled_from(("Enabled", "Disabled", "EnabledWithoutValue")),
            "smtp_utf8_enabled": flags,
            "eight_bit_mime_enabled": flags,
            "chunking_enabled": flags,
            "enhanced_status_codes_enabled": flags,
            "requiretls_enabled": flags,
            "require_ehlo_domain": flags,
            "limits_enabled": flags,
            "reject_reserved_top_level_recipient_domains": flags,
            "reject_single_label_recipient_domains": flags,
            "message_rate_limit": st.just(1),
            "max_inbound_connection_per_source": st.just(1),
            "protocol": st.sampled_from(("SMTP", "SMTP", "LMTP")),
            "max_protocol_errors": st.integers(1, 2),
            "max_logon_failures": st.just(1),
            "lenient_syntax_enabled": flags,
            "binary_mime_enabled": flags,
            "reject_reserved_second_level_recipient_domains": flags,
            "max_inbound_connection": st.integers(1, 3),
            "max_inbound_connection_percentage_per_source": st.sampled_from((1, 50, 100)),
            "banner": st.just("220 Nobody knows"),
            "message_rate_source": st.sampled_from(("None", "User", "All")),
            "pipelining_enabled": flags,
            "delivery_status_notification_enabled": flags,
            "deliver_by_enabled": flags,
            "future_release_enabled": flags,
            "max_future_release_interval": st.sampled_from(("1s", "30d")),
            "mt_priority_enabled": flags,
            "xclient_from": st.just(["10.1.0.0/16", "2001:db8::/32"]),
            "proxy_protocol_from": st.just(["10.9.9.0/24", "fe80::1"]),
            "health_probe_from": st.just(["10.9.9.9", "192.168.1.30"]),
            "auth_tarpit_interval": st.just("3s"),
            "fqdn": st.just("mail.example.org"),
        },
    )


#: Accepted domains besides the usual one, and the whole of C{server:} that sessions meet.
DOMAINS = st.dictionaries(
    st.sampled_from(("sub.akkaya.local", "*.akkaya.local", "*.partner.example", "gmail.com", "*.test")),
    st.sampled_from(
        ({"domain_type": "ExternalRelay"}, {"domain_type": "InternalRelay", "next_hop": "inner:25"}, {"next_hop": "lmtp:127.0.0.1:24"})
    ),
    max_size=3,
)
SERVERS = st.fixed_dictionaries({}, optional={"logon_lockout_threshold": st.integers(0, 2)})


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """Some connectors, no two of which have the same range."""
    plain = connectors(("0.0.0.0:25", "192.168.1.5:25", "[::]:25", "0.0.0.0:587"), False)
    found = draw(st.lists(st.one_of(plain, plain, plain, connectors(("0.0.0.0:465",), True)), min_size=1, max_size=4))
    for each in found:
        each["remote_ip_ranges"] = []
    for text in draw(st.permutations(RANGES)):
        entry = {"range": text, "owner": "somebody"}
        if day := draw(DAYS):
            entry["expires"] = day.isoformat()
        draw(st.sampled_from(found))["remote_ip_ranges"].append(entry)
    return {f"C{number}": each for number, each in enumerate(found)}


questions = st.fixed_dictionaries(
    {
        "client": st.sampled_from(CLIENTS),
        "tls": st.sampled_from(("", "any")),
        "user": st.sampled_from(("", "", FakeUsers.address, "nobody@akkaya.local")),
        "helo": st.sampled_from(("client.example", "", "[10.1.2.3]", "!")),
        "sender": st.sampled_from(SENDERS),
        "recipients": st.lists(st.sampled_from(RECIPIENTS), min_size=1, max_size=3).map(tuple),
        "size": st.sampled_from((None, 0, 70_000, 2_000_000)),
        "require_tls": st.sampled_from((False, False, True)),
        "through": st.sampled_from((None, None, None, "10.9.9.8", "10.9.9.9", "fe80::1")),
    }
)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(configurations(), questions, st.data(), st.sampled_from(("192.168.1.5", "192.168.1.6")), st.integers(0, 2), DOMAINS, SERVERS)
def test_an_explanation_says_what_a_session_says(
    given_connectors: dict[str, dict[str, Any]],
    asked: dict[str, Any],
    data: st.DataObject,
    local: str,
    before: int,
    domains: dict[str, Any],
    server: dict[str, Any],
) -> None:
    """The same connector, the same rights, the same replies to the last octet; before, others may have used up what is limited."""
    accepted = {"akkaya.local": {"next_hop": "mailbox.akkaya.local:25"}, **domains}
    relay = Relay(given_connectors, keys={"accepted_domains": accepted}, **server)
    relay.replace(certificates=CERTIFICATES)
    assume(relay.factories and not conflicts(relay.config))
    binding = data.draw(st.sampled_from(relay.factories)).binding
    relay.factories = [factory for factory in relay.factories if factory.binding == binding]
    port, here = binding.port, "2001:db8::5" if binding.host == "::" else local if binding.host == "0.0.0.0" else binding.host
    asked["client"] = data.draw(st.sampled_from([one for one in CLIENTS if parse_ip(one).version == parse_ip(here).version]))
    asked["tls"] = asked["tls"] or ("any" if binding.implicit_tls else "")
    family = parse_ip(here).version
    trusted = (
        any(balancer.contains(parse_ip(asked["through"])) for balancer in relay.factories[0].binding.proxies) if asked["through"] else False
    )
    if not trusted or parse_ip(asked["through"]).version != family:
        asked["through"] = None
    question = Question(**asked, to=f"[{here}]:{port}")
    if before:
        pressure = BackPressure(Settings())
        pressure.sample({name: Reading(value) for name, value in data.draw(SHORT).items()})
        relay.replace(pressure=pressure, connection_rate=ConnectionRate(data.draw(st.sampled_from((None, None, 2)))))
    for _ in range(before):  # other sessions of the same client, of which one sends a message
        other = relay.connect(question.client, here, port)
        for line in ("EHLO other.example", f"AUTH PLAIN {WRONG}", f"MAIL FROM:<{question.sender}>"):
            other.send(line.encode() + b"\r\n")
            while relay.clock.getDelayedCalls():
                relay.clock.advance(10)
    told = explained(relay, question, live=before > 0)
    if before:
        again = explained(relay, question, live=True)
        assert again.dialogue == told.dialogue, "asking changes nothing"
    actor = Actor(relay, question, port, here).play(told)
    expected = [(step.command, "" if step.command == HANDSHAKE else step.reply) for step in told.dialogue]
    assert actor.replies == expected
    event(f"{len(told.dialogue)} steps, the last one {told.dialogue[-1].reply[:3]}")
    if relay.factories[0].is_probe(parse_ip(question.client)):
        return  # a health probe, of which nobody is told before it says more than a probe does
    if told.dialogue[0].reason != "max_connection_rate_per_minute":  # which turns away before a connector is looked for
        assert told.receive_connector == actor.connector
    rights = [[right.name for right in each.rights] for each in (told.at_connect, told.after_login) if each is not None]
    assert [list(each) for each in actor.rights] == rights
    assert all(right.sources for each in (told.at_connect, told.after_login) if each is not None for right in each.rights)
