"""Who may relay by address alone: which ranges hold somebody who speaks for others, are shared, over, or never used.

It decides what a range that relays must not hold: a load balancer or proxy (all its clients would relay), another mail server (what it
takes would be relayed), this host (whoever can make it connect would relay), addresses that stand for many.

Source: the source article on relaying by address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from itertools import chain

from twistedrelay.answers.audit.case import Case, Findings
from twistedrelay.answers.audit.finding import Finding, Severity, command
from twistedrelay.answers.audit.openness import SAYS_SO, relaying_key, relays_for_all
from twistedrelay.config.principals import ANONYMOUS_LOGON
from twistedrelay.config.problems import Path
from twistedrelay.config.schema import Config, ReceiveConnector, RemoteRange
from twistedrelay.values.netrange import IPAddress, IPRange, parse_ip

#: Days before the end of an entry, and how bad it is by then.
_STEPS = ((7, Severity.MEDIUM), (14, Severity.LOW), (30, Severity.INFO))

_SHOWN = 5


def range_findings(case: Case) -> Findings:
    """All about the ranges of the connectors that take part."""
    for name, connector in case.enabled:
        if name in case.open_relays:
            yield _open(case, name, connector)
        for index, entry in enumerate(connector.remote_ip_ranges):
            yield from _ending(case, name, index, entry)
        if relays_for_all(connector):
            for index, entry in enumerate(connector.remote_ip_ranges):
                if entry.expires is None or entry.expires >= case.today:
                    yield from _relaying(case, name, ("receive_connectors", name, "remote_ip_ranges", index), entry)


def _open(case: Case, name: str, connector: ReceiveConnector) -> Finding:
    path = ("receive_connectors", name, relaying_key(connector))
    said = f"; {SAYS_SO} lets the daemon start all the same" if connector.i_know_this_is_an_open_relay else ""
    reason = f"an open relay: sessions without a login may send to anybody, from {case.open_relays[name]}{said}"
    return case.finding("open-relay", Severity.CRITICAL, path, reason, no_relaying(name, connector))


def no_relaying(name: str, connector: ReceiveConnector) -> str:
    """The command after which clients without a login may not relay."""
    if relaying_key(connector) == "auth_mechanism":
        return command("connector", "set", name, "--auth-mechanism", "Tls", "--permission-groups", "AnonymousUsers")
    return command("permission", "remove", name, "--user", ANONYMOUS_LOGON, "--extended-rights", "Accept-Any-Recipient")


def take_out(case: Case, name: str, entry: RemoteRange) -> str:
    """The command that takes a range out; a connector without ranges would be everybody's."""
    if len(case.config.receive_connectors[name].remote_ip_ranges) == 1:
        return command("connector", "disable", name)
    return command("connector", "set", name, "--remove-remote-ip-ranges", entry.range)


def _ending(case: Case, name: str, index: int, entry: RemoteRange) -> Findings:
    """An entry that is over soon; those that are over are among the warnings of a check."""
    if entry.expires is None:
        return
    left = (entry.expires - case.today).days
    severity = next((severity for days, severity in _STEPS if 0 <= left <= days), None)
    if severity is not None:
        when = "today" if not left else f"in {left} days"
        reason = f"the range {entry.range}{_of(entry)} ends on {entry.expires}, {when}: its clients get 421 then; renew it, or take it out"
        yield case.finding(
            "range-expires", severity, ("receive_connectors", name, "remote_ip_ranges", index), reason, take_out(case, name, entry)
        )


def _of(entry: RemoteRange) -> str:
    return f" ({entry.owner})" if entry.owner else ""


def _closing(case: Case, name: str, entry: RemoteRange) -> str:
    """The command after which a range may not relay: where it is everybody's, it is not the range that is wrong."""
    everybody = entry.range.first == 0 and entry.range.size == 1 << (32 if entry.range.version == 4 else 128)
    return no_relaying(name, case.config.receive_connectors[name]) if everybody else take_out(case, name, entry)


def _relaying(case: Case, name: str, path: Path, entry: RemoteRange) -> Findings:
    found = entry.range
    proxies = [str(proxy) for proxy in _speakers(case.config) if proxy.overlaps(found) and not _heard(case, name, proxy)]
    if proxies:
        reason = (
            f"{found} may relay without a login, and holds {_some(proxies)}, which speaks for others: whoever comes through it may relay"
        )
        yield case.finding("relay-load-balancer", Severity.HIGH, path, reason, _closing(case, name, entry))
    servers = sorted({text for text, address in _mail_servers(case) if found.contains(address)})
    if servers:
        alone = found.size == 1
        reason = f"{found} may relay without a login, and holds the mail server {_some(servers)}: what it takes from others is relayed" + (
            "" if alone else "; list the devices themselves, and a server by itself only where it must"
        )
        yield case.finding("relay-mail-server", Severity.LOW if alone else Severity.MEDIUM, path, reason, _closing(case, name, entry))
    yield from _this_host(case, name, path, entry)
    if entry.shared:
        severity = Severity.INFO if entry.owner else Severity.MEDIUM
        demand = "" if entry.owner else ", and nobody answers for it: write its owner, or demand a login"
        reason = f"{found}{_of(entry)} is shared: one address stands for many clients that may all relay without a login{demand}"
        yield case.finding("relay-shared", severity, path, reason, _closing(case, name, entry))


def _this_host(case: Case, name: str, path: Path, entry: RemoteRange) -> Findings:
    own = [str(address) for address in case.facts.own if entry.range.contains(address)]
    loopback = any(entry.range.contains(ipaddress.ip_address(text)) for text in ("127.0.0.1", "::1"))
    if not own and not loopback:
        return
    severity = Severity.MEDIUM if own and entry.range.size > 1 else Severity.LOW
    reason = (
        f"{entry.range} may relay without a login, and holds this host ({_some(own or ['loopback'])}): every program here, a web server "
        "or a proxy as well, relays for whoever can use it"
    )
    yield case.finding("relay-this-host", severity, path, reason, _closing(case, name, entry))


def _some(texts: Iterable[str]) -> str:
    found = list(texts)
    return ", ".join(found[:_SHOWN]) + (f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")


def _speakers(config: Config) -> Iterator[IPRange]:
    """Hosts that speak for others."""
    seen = set()
    for connector in config.receive_connectors.values():
        for found in (*connector.proxy_protocol_from, *connector.xclient_from):
            if found not in seen:
                seen.add(found)
                yield found


def _heard(case: Case, name: str, proxy: IPRange) -> bool:
    """Whether each socket of a connector wants to know first for whom such a host speaks."""
    return all(any(each.covers(proxy) for each in socket.proxies) for socket in case.sockets if name in socket.connectors)


def _mail_servers(case: Case) -> Iterator[tuple[str, IPAddress]]:
    """Other mail servers that are known, with their addresses: next hops, smart hosts, and MX where they were looked up."""
    config = case.config
    hops = [domain.next_hop for domain in config.accepted_domains.values() if domain.next_hop is not None]
    for sending in config.send_connectors.values():
        hops += sending.smart_hosts
    names = {hop.host for hop in hops if hop.host}
    for name in sorted(chain(names, case.facts.hosts.keys() - names)):
        try:
            yield name, parse_ip(name)
        except ValueError:
            yield from ((f"{name} ({address})", address) for address in case.facts.hosts.get(name, ()))
