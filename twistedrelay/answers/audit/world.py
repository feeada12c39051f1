"""Finding out the facts of an audit: this host's addresses, names in the DNS, whether smart hosts answer.

Everything here blocks, each wait with a limit, and all of them together with L{BUDGET}: for a thread, or a command.  Nothing is sent: a
connection is opened and closed again.

Sources: proc(5) (fib_trie, if_inet6), RFC 5321 section 5.1 (MX).
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeVar

import dns.exception
import dns.resolver
from dns.nameserver import Do53Nameserver

from twistedrelay.answers.audit.case import Facts
from twistedrelay.answers.audit.clock import synchronised
from twistedrelay.config.schema import Config
from twistedrelay.config.units import NextHopValue, dns_server
from twistedrelay.values.netrange import IPAddress, parse_ip
from twistedrelay.values.printable import host_port
from twistedrelay.values.usage import Usage

#: Seconds for one connection or one question, and for all of them.
PATIENCE = 5.0
BUDGET = 20.0

#: Names and hosts that are asked about at most.
MOST = 200

_AT_ONCE = 16

K = TypeVar("K")
T = TypeVar("T")


def facts(config: Config, *, usage: Sequence[Usage] | None = None, ask: bool = False, now: float | None = None) -> Facts:
    """What is known.

    @param ask: ask the DNS, and try the smart hosts, too.
    """
    hosts: Mapping[str, tuple[IPAddress, ...]] = {}
    unreachable: Mapping[str, str] = {}
    if ask:
        hosts = resolved(config)
        unreachable = not_answering(config)
    return Facts(
        now=time.time() if now is None else now,
        usage=usage,
        own=own_addresses(),
        hosts=hosts,
        unreachable=unreachable,
        tried=ask,
        synchronised=synchronised(),
    )


def own_addresses(proc: str = "/proc/net") -> tuple[IPAddress, ...]:
    """The addresses of this host's interfaces, without loopback and link-local ones."""
    found: set[IPAddress] = set()
    with contextlib.suppress(OSError):
        text = Path(proc, "fib_trie").read_text(encoding="utf-8", errors="replace")
        found.update(map(parse_ip, re.findall(r"\|-- ([\d.]+)\n\s+/32 host LOCAL", text)))
    with contextlib.suppress(OSError):
        for line in Path(proc, "if_inet6").read_text(encoding="utf-8", errors="replace").splitlines():
            found.add(ipaddress.IPv6Address(int(line.split()[0], 16)))
    return tuple(
        sorted((each for each in found if not each.is_loopback and not each.is_link_local), key=lambda each: (each.version, int(each)))
    )


def hops(config: Config) -> dict[str, NextHopValue]:
    """The next hops and smart hosts that are in use, by C{host:port} (or path)."""
    found = [domain.next_hop for domain in config.accepted_domains.values() if domain.next_hop is not None]
    for connector in config.send_connectors.values():
        found += connector.smart_hosts if connector.enabled else []
    return {_shown(hop): hop for hop in found if hop.kind != "maildir"}


def _shown(hop: NextHopValue) -> str:
    return hop.path or host_port(hop.host, hop.port)


def resolved(config: Config) -> dict[str, tuple[IPAddress, ...]]:
    """The addresses of hosts that are named, and of the MX of accepted domains."""
    domains = [domain for domain in config.accepted_domains if not domain.startswith("*.")][:MOST]
    resolver = _resolver(config)
    exchangers = _all({domain: lambda domain=domain: _mx(resolver, domain) for domain in domains})  # type: ignore[misc]
    names = {hop.host for hop in hops(config).values() if hop.host and not _is_address(hop.host)}
    names.update(name for found in exchangers.values() for name in found)
    return _all({name: lambda name=name: _addresses(resolver, name) for name in sorted(names)[:MOST]})  # type: ignore[misc]


def not_answering(config: Config) -> dict[str, str]:
    """The next hops and smart hosts that do not take a connection, and why."""
    tried = _all({name: lambda hop=hop: _try(hop) for name, hop in list(hops(config).items())[:MOST]})  # type: ignore[misc]
    return {name: why for name, why in tried.items() if why}


def _all(questions: Mapping[K, Callable[[], T]]) -> dict[K, T]:
    """The answers that came in time."""
    pool = ThreadPoolExecutor(_AT_ONCE)
    waiting = {pool.submit(question): key for key, question in questions.items()}
    done, _ = wait(waiting, BUDGET / 2)
    pool.shutdown(wait=False, cancel_futures=True)
    return {waiting[future]: future.result() for future in done if not future.cancelled()}


def _resolver(config: Config) -> dns.resolver.Resolver | None:
    try:
        made = dns.resolver.Resolver(configure=not config.server.external_dns_servers)
    except dns.resolver.NoResolverConfiguration:
        return None
    if config.server.external_dns_servers:
        made.nameservers = [Do53Nameserver(*dns_server(text)) for text in config.server.external_dns_servers]
    made.lifetime = PATIENCE
    return made


def _ask(resolver: dns.resolver.Resolver | None, name: str, kind: str) -> Iterable[str]:
    if resolver is None:
        return []
    try:
        return [record.to_text() for record in resolver.resolve(name, kind)]
    except (dns.exception.DNSException, OSError, ValueError):
        return []


def _mx(resolver: dns.resolver.Resolver | None, domain: str) -> list[str]:
    found = [text.split()[-1].rstrip(".") for text in _ask(resolver, domain, "MX")]
    return [name for name in found if name]


def _addresses(resolver: dns.resolver.Resolver | None, name: str) -> tuple[IPAddress, ...]:
    return tuple(parse_ip(text) for kind in ("A", "AAAA") for text in _ask(resolver, name, kind) if _is_address(text))


def _is_address(text: str) -> bool:
    try:
        parse_ip(text)
    except ValueError:
        return False
    return True


def _try(hop: NextHopValue) -> str:
    """Why a host does not take a connection; nothing where it does."""
    try:
        if hop.path:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as local:
                local.settimeout(PATIENCE)
                local.connect(hop.path)
        else:
            socket.create_connection((hop.host, hop.port), PATIENCE).close()
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__
    return ""
