"""Which receive connectors relay for anybody, and which of them make a relay that must not start.

It decides what an open relay is: a connector where a session without a login may send to any recipient, and which takes clients from more
globally routable addresses than L{MOST}, or from so many that may say for whom they speak (PROXY, XCLIENT), and so may pass for a client
of it.  Nothing is subtracted: neither what other connectors take for themselves, nor entries that are over, nor limits.  A connector that
only this host can reach, by loopback addresses without a proxy before them, is no open relay.

Sources: the source article on relaying by address; RFC 5321 section 7.1; RFC 2505 section 2.1.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from twistedrelay.answers.audit.space import routable
from twistedrelay.config.problems import Problem
from twistedrelay.config.schema import Config, ReceiveConnector
from twistedrelay.policy.connector import ConnectorTable
from twistedrelay.policy.rights import Rights, principal_at_connect, rights_of
from twistedrelay.values.netrange import IPRange

#: Globally routable addresses that may relay without a login: a /16 of IPv4, a /32 of IPv6.
MOST = {4: 1 << 16, 6: 1 << 96}

SAYS_SO = "i_know_this_is_an_open_relay"

_RELAYING = Rights.SUBMIT | Rights.ACCEPT_ANY_RECIPIENT


def relays_for_all(connector: ReceiveConnector) -> bool:
    """Whether whoever may connect may send to anybody."""
    try:
        return _RELAYING in rights_of(connector, principal_at_connect(connector))
    except ValueError:  # a right that does not exist, which is a problem of its own
        return False


def relaying_key(connector: ReceiveConnector) -> str:
    """The key that lets them."""
    return "auth_mechanism" if "ExternalAuthoritative" in connector.auth_mechanism else "extended_rights"


def far_clients(config: Config) -> frozenset[str]:
    """The enabled connectors whose clients may be elsewhere: by an address that is not loopback, or by a host that speaks for others."""
    found = set()
    for socket in ConnectorTable(config).bindings:
        spoken_for = bool(socket.proxies) or any(config.receive_connectors[name].xclient_from for name in socket.connectors)
        for name in socket.connectors:
            bindings = config.receive_connectors[name].bindings
            if spoken_for or any(not ipaddress.ip_address(binding.host.partition("%")[0]).is_loopback for binding in bindings):
                found.add(name)
    return frozenset(found)


def too_many(ranges: Iterable[IPRange]) -> str:
    """How far ranges go beyond L{MOST}, in words; nothing where they do not."""
    for version, count in routable(ranges).items():
        if count > MOST[version]:
            bits = 32 if version == 4 else 128
            most = bits - (MOST[version].bit_length() - 1)
            return f"{count if version == 4 else f'{count:.3g}'} public addresses of IPv{version}, more than a /{most}"
    return ""


def open_relays(config: Config) -> dict[str, str]:
    """The connectors that are open relays, and how far they are open."""
    far, forged = far_clients(config), _forged(config)
    connectors = ((name, config.receive_connectors[name]) for name in config.receive_connectors if name in far)
    return {
        name: text
        for name, connector in connectors
        if relays_for_all(connector) and (text := too_many(entry.range for entry in connector.remote_ip_ranges) or forged.get(name, ""))
    }


def _forged(config: Config) -> dict[str, str]:
    """The connectors that too many can reach under any address, and how many."""
    found = {}
    for socket in ConnectorTable(config).bindings:
        if ipaddress.ip_address(socket.host.partition("%")[0]).is_loopback:
            continue
        speakers = list(socket.proxies)
        for connector in map(config.receive_connectors.__getitem__, socket.connectors):
            ranges = [entry.range for entry in connector.remote_ip_ranges]
            speakers += [both for one in connector.xclient_from for other in ranges if (both := one.shared_with(other)) is not None]
        if text := too_many(speakers):
            found.update(dict.fromkeys(socket.connectors, f"{text}, which may pass for any other by PROXY or XCLIENT"))
    return found


def open_relay_problems(config: Config) -> list[Problem]:
    """The open relays that do not say that they are meant; a daemon starts with none."""
    return [
        Problem(
            ("receive_connectors", name, relaying_key(config.receive_connectors[name])),
            f"this is an open relay: sessions without a login may send to anybody, from {text}; spammers find it within hours; "
            "allowed: "
            "the addresses of your own devices in remote_ip_ranges, or a login: permission_groups: [ExchangeUsers] and no "
            f"{'ExternalAuthoritative' if relaying_key(config.receive_connectors[name]) == 'auth_mechanism' else 'Accept-Any-Recipient'}; "
            f"where it is meant, {SAYS_SO}: true",
            code="open-relay",
        )
        for name, text in open_relays(config).items()
        if not config.receive_connectors[name].i_know_this_is_an_open_relay
    ]
