"""What stands in files: header sections, the configuration and its values, ranges of addresses, the users file."""

from __future__ import annotations

import ipaddress
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.proof.targets.target import target, text
from twistedrelay.config import units
from twistedrelay.config.load import ConfigError, load
from twistedrelay.config.passwords import is_hash
from twistedrelay.config.users import UsersError, UsersFile
from twistedrelay.policy.headers import HeaderFacts
from twistedrelay.values.netrange import IPRange, RangeTable, parse_ip
from twistedrelay.values.scram import ScramVerifier

_DIRECTORY = tempfile.TemporaryDirectory(prefix="fuzzing-")
_FILE = Path(_DIRECTORY.name) / "input"


@target(
    "headers",
    b"Received: from x\r\n",
    b"Message-ID: <a@b>\r\n",
    b"Message-ID:\r\n <a@b>\r\n",
    b"Subject: x\r\n",
    b"\r\n",
    b"\r\n ",
    b"X :",
    b":",
    b"received:",
    b"\xff",
)
def headers(data: bytes) -> None:
    """The header section: facts are safe to show, and more content behind a complete one changes nothing."""
    content = re.sub(rb"\r\n|\r|\n", b"\r\n", data)
    facts = HeaderFacts.read(content)
    assert re.fullmatch(r"|<[!-;=?-~]+>", facts.message_id)
    assert not any(character in facts.subject for character in "\r\n\0")
    head = content.partition(b"\r\n\r\n")[0]
    hops = [line for line in head.split(b"\r\n") if re.match(rb"received[ \t]*:", line, re.IGNORECASE)]
    expected = len(hops) if facts.has_header else 0
    assert facts.received_count == (0 if content.startswith(b"\r\n") else expected)
    if facts.complete:
        assert HeaderFacts.read(content + b"Received: no\r\n\r\nmore") == facts
    for cut in range(0, len(content), 7):
        part = HeaderFacts.read(content[:cut])
        assert not part.complete or part == facts


_VALUES: tuple[tuple[Callable[[Any], Any], Callable[[Any], str] | None], ...] = (
    (units.duration, units.duration_text),
    (units.size, str),
    (units.unlimited, lambda value: "unlimited" if value is None else str(value)),
    (units.integer, str),
    (units.boolean, lambda value: str(value).lower()),
    (units.day, str),
    (units.binding, str),
    (units.ip_range, str),
    (units.next_hop, str),
    (units.AddressSpace.parse, str),
    (units.domain_name, str),
    (units.domain_pattern, str),
    (units.dns_server, None),
)


@target(
    "values",
    b"10m",
    b"1.5h",
    b"2d",
    b"1.00:00:00",
    b"36MB",
    b"unlimited",
    b"true",
    b"2027-06-30",
    b"0.0.0.0:25",
    b"[::]:25",
    b"192.0.2.0/24",
    b"::1-::9",
    b"lmtp:unix:/x",
    b"maildir:x",
    b"host.example:25",
    b"*.x.example;10",
    b"SMTP:",
    "ß.example".encode(),
    "１".encode(),
)
def values(data: bytes) -> None:
    """Values of the configuration: good ones read back from their text, bad ones are errors that say so."""
    written = text(data)
    if written is None:
        return
    for parse, show in _VALUES:
        try:
            value = parse(written)
        except ValueError as error:
            assert str(error)
            continue
        if show is not None:
            assert parse(show(value)) == value, parse.__qualname__


@target("ranges", b"192.0.2.1", b"/24", b"-", b"::ffff:192.0.2.1", b"2001:db8::", b"/0", b"0.0.0.0/0", b"%eth0", b"[", b"]", b"\n")
def ranges(data: bytes) -> None:
    """Ranges, one a line: the table finds the same as a look at each, the most specific first."""
    parsed: list[IPRange] = []
    for line in (text(data) or "").split("\n")[:20]:
        try:
            found = IPRange.parse(line)
        except ValueError:
            continue
        assert 0 <= found.first <= found.last
        assert IPRange.parse(str(found)) == found
        parsed.append(found)
    table = RangeTable((one, number) for number, one in enumerate(parsed))
    for one in parsed:
        kind = ipaddress.IPv4Address if one.version == 4 else ipaddress.IPv6Address
        top = 2 ** (32 if one.version == 4 else 128)
        for number in {one.first, one.last, max(one.first - 1, 0), min(one.last + 1, top - 1)}:
            peer = parse_ip(str(kind(number)))
            holding = [other for other in parsed if other.contains(peer)]
            found_sizes = [entry.size for entry, _ in table.lookup(peer)]
            assert sorted(found_sizes) == found_sizes
            assert sorted(entry.size for entry in holding) == found_sizes


def _is_verifier(field: str) -> bool:
    try:
        ScramVerifier.parse(field)
    except ValueError as error:
        assert len(field) < 40 or field not in str(error)
        return False
    return True


@target(
    "users",
    b"a@b.example $argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy",
    b" created=2026-11-22",
    b" send_as=c@d.example,e@f.example",
    b"\n",
    b"#",
    b"a@b.example",
    b"\x85",
    "é@ü.example".encode(),
)
def users(data: bytes) -> None:
    """The users file: broken ones are told, without a hash in the message; a sound one finds each of its users."""
    _FILE.write_bytes(data)
    try:
        found = UsersFile(str(_FILE)).list()
    except UsersError as error:
        fields = [field for line in (text(data) or "").splitlines() for field in line.split()[1:3]]
        secrets = [field for field in fields if is_hash(field) or _is_verifier(field)]
        assert not any(secret in str(error) for secret in secrets)
        return
    accounts = UsersFile(str(_FILE))
    for user in found:
        assert accounts.find(user.address) == user
        assert user.address.isprintable()


@target(
    "config",
    b"server: {name: X, fqdn: x.example, state_directory: s}\n",
    b"accepted_domains: {x.example: {domain_type: InternalRelay, next_hop: 'h:25'}}\n",
    b"receive_connectors:\n  A:\n    bindings: ['0.0.0.0:25']\n    permission_groups: [AnonymousUsers]\n",
    b"    remote_ip_ranges: [192.0.2.1, {range: 10.0.0.0/8, expires: 2027-01-01}]\n",
    b"    extended_rights: {Anonymous Logon: [Accept-Any-Recipient]}\n",
    b"send_connectors: {I: {address_spaces: ['*'], smart_hosts: ['h:25']}}\n",
    b"transport: {message_retry_interval: 5m}\n",
    b"&a [*a]",
    b"? :",
    b"!!python/object:os.system\n",
    b"<<: {}",
    b"- ",
    b"\t",
)
def config(data: bytes) -> None:
    """A configuration file: loaded, or refused with errors that each name the file and fit on a line."""
    if b"include" in data:  # would read what else there is on this machine
        return
    _FILE.write_bytes(data)
    try:
        load(_FILE)
    except ConfigError as error:
        assert error.problems
        for problem in error.problems:
            assert problem.file == str(_FILE), problem
            assert problem.text
