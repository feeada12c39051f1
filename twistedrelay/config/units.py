"""Exchange's value syntaxes: durations, sizes, C{unlimited}, bindings, ranges, next hops, address spaces.

Decides what the text of a value means, and nothing about whether values fit each other (see C{config.rules}).  Each type is an
C{Annotated} for pydantic with a parser that takes text or an already typed value and raises L{ValueError} saying what is allowed.

Sources: Set-ReceiveConnector (value syntaxes), Set-SendConnector (AddressSpaces), RFC 5321 section 4.1.2 (domain).
"""

from __future__ import annotations

import datetime
import ipaddress
import re
from collections.abc import Callable
from typing import Annotated, Any

import attrs
import idna
from pydantic import AfterValidator, BeforeValidator

from twistedrelay.values.netrange import IPRange
from twistedrelay.values.printable import host_port

_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,6})?) ?(ms|s|m|h|d)", re.ASCII)
_CLOCK = re.compile(r"(?:(\d{1,6})\.)?(\d{1,2}):([0-5]\d):([0-5]\d)(?:\.\d{1,7})?", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d{1,18}) ?(B|KB|MB|GB|TB)?", re.IGNORECASE | re.ASCII)
_OCTETS = {"": 1, "B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")

DURATIONS = "10m, 5s, 1h, 2d, hh:mm:ss or dd.hh:mm:ss"
SIZES = "octets (37748736) or 64KB, 36MB, 1GB (1 KB = 1024)"
NEXT_HOPS = "host, host:port, [IPv6]:port, lmtp:host:port, lmtp:unix:/path or maildir:PATH"
ADDRESS_SPACES = "domain, *.domain (with its subdomains) or *, each with ;cost (1 to 100) behind it if wanted"


@attrs.frozen(slots=True)
class BindingValue:
    """C{0.0.0.0:25} or C{[::]:25}."""

    host: str
    port: int

    def __str__(self) -> str:
        return host_port(self.host, self.port)


@attrs.frozen(slots=True)
class NextHopValue:
    """A next hop or smart host.

    @ivar kind: C{"smtp"}, C{"lmtp"} or C{"maildir"}.
    @ivar host: name or address without brackets (C{smtp}, C{lmtp} over TCP), else C{""}.
    @ivar port: 25 where none was given (24 for C{lmtp:}).
    @ivar path: the socket of C{lmtp:unix:/path} or the directory of C{maildir:/path}, else C{""}.
    """

    kind: str
    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.kind == "maildir":
            return f"maildir:{self.path}"
        where = f"unix:{self.path}" if self.path else host_port(self.host, self.port)
        return f"lmtp:{where}" if self.kind == "lmtp" else where


@attrs.frozen(slots=True)
class AddressSpace:
    """Which recipient domains a send connector is for.

    @ivar pattern: C{"*"}, C{"domain"} or C{"*.domain"} (the domain and its subdomains), in lower case and A-labels.
    @ivar cost: 1 to 100; of connectors that fit equally well the lower one wins.
    """

    pattern: str
    cost: int = 1

    @classmethod
    def parse(cls, text: str) -> AddressSpace:
        """An address space from its text.  L{ValueError} says what is allowed."""
        space, semicolon, cost_text = text.strip().partition(";")
        kind, colon, rest = space.partition(":")
        if colon and kind.strip().lower() != "smtp":
            raise ValueError(f"{text!r} is of type {kind.strip()!r}; only SMTP address spaces exist: {ADDRESS_SPACES}")
        pattern = (rest if colon else space).strip()
        cost = 1
        if semicolon:
            if not re.fullmatch(r"\d{1,3}", cost_text.strip(), re.ASCII) or not 1 <= int(cost_text) <= 100:
                raise ValueError(f"{text!r} has the cost {cost_text.strip()!r}; allowed: 1 to 100")
            cost = int(cost_text)
        if pattern == "*":
            return cls(pattern, cost)
        try:
            return cls(domain_pattern(pattern), cost)
        except ValueError as error:
            raise ValueError(f"{text!r} is no address space ({error}); allowed: {ADDRESS_SPACES}") from None

    def __str__(self) -> str:
        return f"SMTP:{self.pattern};{self.cost}"


def domain_name(text: str) -> str:
    """A domain name in lower case and A-labels, without a final dot.  L{ValueError} says what is wrong with it."""
    name = text.strip()
    name = name[:-1] if name.endswith(".") else name
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except idna.IDNAError as error:
            raise ValueError(f"{text!r} is no domain name: {error}") from None
    name = name.lower()
    if not name or len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise ValueError(f"{text!r} is no domain name; allowed: letters, digits and hyphens between dots, such as mail.example.org")
    return name


def domain_pattern(text: str) -> str:
    """C{domain} or C{*.domain}, normalised as by L{domain_name}."""
    written = text.strip()
    return f"*.{domain_name(written[2:])}" if written.startswith("*.") else domain_name(written)


def duration(value: Any) -> float:
    """Seconds from C{10m}, C{5s}, C{2d}, C{1h}, C{hh:mm:ss}, C{dd.hh:mm:ss} (or a number of seconds)."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    text = _text(value, "a duration", DURATIONS).strip()
    if match := _DURATION.fullmatch(text):
        return round(float(match[1]) * _SECONDS[match[2]], 6)
    if match := _CLOCK.fullmatch(text):
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        if hours < 24 or match[1] is None:
            return days * 86400.0 + hours * 3600.0 + minutes * 60.0 + seconds
    hint = "; a number needs its unit" if text.isdigit() else ""
    raise ValueError(f"{value!r} is no duration{hint}; allowed: {DURATIONS}")


def duration_text(seconds: float) -> str:
    """A duration as L{duration} reads it, in the largest unit that fits."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % length == 0:
            return f"{int(seconds // length)}{unit}"
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


def size(value: Any) -> int:
    """Octets from C{36MB}, C{25 MB} or a plain number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if match := _SIZE.fullmatch(_text(value, "a size", SIZES).strip()):
        return int(match[1]) * _OCTETS[(match[2] or "").upper()]
    raise ValueError(f"{value!r} is no size; allowed: {SIZES}")


def unlimited(value: Any) -> int | None:
    """A whole number, or None for C{unlimited}."""
    if value is None or (isinstance(value, str) and value.strip().lower() == "unlimited"):
        return None
    return integer(value, "a whole number or unlimited")


def unlimited_size(value: Any) -> int | None:
    """Octets as L{size} reads them, or None for C{unlimited}."""
    if value is None or (isinstance(value, str) and value.strip().lower() == "unlimited"):
        return None
    return size(value)


def integer(value: Any, allowed: str = "a whole number") -> int:
    """A whole number from its decimal digits."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = _text(value, "a number", allowed).strip()
    if re.fullmatch(r"-?\d{1,18}", text, re.ASCII):
        return int(text)
    raise ValueError(f"{value!r} is no number; allowed: {allowed}")


def boolean(value: Any) -> bool:
    """C{true} or C{false}."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise ValueError(f"{_shown(value)} is neither true nor false; allowed: true, false")


def day(value: Any) -> datetime.date:
    """A day as C{2027-06-30}."""
    if isinstance(value, datetime.date):
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
        try:
            return datetime.date.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{value!r} is no day of the calendar; allowed: yyyy-mm-dd") from None
    raise ValueError(f"{_shown(value)} is no day; allowed: yyyy-mm-dd, such as 2027-06-30")


def binding(value: Any) -> BindingValue:
    """An IP address and a port to listen on."""
    if isinstance(value, BindingValue):
        return value
    allowed = "IP address:port, such as 0.0.0.0:25, 192.0.2.1:587 or [::]:25"
    text = _text(value, "a binding", allowed).strip()
    host, colon, port_text = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ipaddress.ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        raise ValueError(f"{value!r} is no binding; allowed: {allowed}") from None
    if not colon or bracketed != (address.version == 6):
        raise ValueError(f"{value!r} is no binding; IPv6 addresses stand in brackets; allowed: {allowed}")
    return BindingValue(str(address), _port(port_text, text))


def ip_range(value: Any) -> IPRange:
    """One address, a CIDR block or a dash range."""
    if isinstance(value, IPRange):
        return value
    return IPRange.parse(_text(value, "an IP range", "192.0.2.1, 192.0.2.0/24, 192.0.2.1-192.0.2.9 and the same in IPv6"))


def next_hop(value: Any) -> NextHopValue:
    """A host with a port, an LMTP server, or a maildir.  Without a port it is 25 (C{lmtp:} 24)."""
    if isinstance(value, NextHopValue):
        return value
    text = _text(value, "a next hop", NEXT_HOPS).strip()
    kind, colon, rest = text.partition(":")
    kind = kind.lower() if colon else ""
    if kind == "maildir":
        if not rest:
            raise ValueError(f"{value!r} names no directory; allowed: {NEXT_HOPS}")
        return NextHopValue("maildir", path=rest)
    if kind not in ("smtp", "lmtp") or rest.isdigit():  # a host may be called smtp: smtp:25
        kind, rest = "smtp", text
    if rest.lower().startswith("unix:"):
        if kind != "lmtp" or len(rest) == 5:
            raise ValueError(f"{value!r} is no next hop; sockets are written lmtp:unix:/path; allowed: {NEXT_HOPS}")
        return NextHopValue("lmtp", path=rest[5:])
    host, port = _host_port(rest, 25 if kind == "smtp" else 24, text)
    return NextHopValue(kind, host, port)


def _host_port(text: str, default: int, whole: str) -> tuple[str, int]:
    """Host and port of a next hop: a name or an IP address, which stands in brackets where it is IPv6 and may where it is IPv4."""
    if bracketed := re.fullmatch(r"\[(?:IPv6:)?([^\]]*)\](?::(.*))?", text, re.IGNORECASE):
        port = default if bracketed[2] is None else _port(bracketed[2], whole)
        try:
            return str(ipaddress.ip_address(bracketed[1])), port
        except ValueError:
            raise ValueError(f"{whole!r} is no next hop: {bracketed[1]!r} is no IP address; allowed: {NEXT_HOPS}") from None
    if text.count(":") > 1:
        raise ValueError(f"{whole!r} is no next hop; IPv6 addresses stand in brackets; allowed: {NEXT_HOPS}")
    host, colon, port_text = text.partition(":")
    port = _port(port_text, whole) if colon else default
    try:
        name = host if re.fullmatch(r"[0-9.]+", host) else domain_name(host)
        if re.fullmatch(r"[0-9.]+", name):  # also from digits beyond ASCII
            return str(ipaddress.IPv4Address(name)), port
        if name in ("unix", "maildir"):  # with a port behind it, it could not be told from a path
            raise ValueError
        return name, port
    except ValueError:
        raise ValueError(f"{whole!r} is no next hop: {host!r} is neither a host name nor an IP address; allowed: {NEXT_HOPS}") from None


def dns_server(text: str) -> tuple[str, int]:
    """Address and port of a DNS server: C{192.0.2.53}, C{192.0.2.53:54}, C{2001:db8::53}, C{[2001:db8::53]:54}; 53 where it has no port."""
    written = text.strip()
    with_port = re.fullmatch(r"(?:\[([^\]]+)\]|([^:]+))(?::([^:]*))?", written)
    try:
        address = ipaddress.ip_address((with_port[1] or with_port[2]) if with_port else written)
    except ValueError:
        raise ValueError(f"{text!r} is no DNS server; allowed: an IP address, with :port if wanted (IPv6 in brackets then)") from None
    return str(address), 53 if with_port is None or with_port[3] is None else _port(with_port[3], text)


def _port(text: str, whole: str) -> int:
    if not re.fullmatch(r"\d{1,5}", text, re.ASCII) or int(text) > 65535:
        raise ValueError(f"{whole!r} has the port {text!r}; allowed port: 0 to 65535")
    return int(text)


def _text(value: Any, what: str, allowed: str) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(f"{_shown(value)} is no text; {what} is allowed: {allowed}")


def _shown(value: Any) -> str:
    """A wrong value as an error shows it; containers by their kind."""
    return "a list" if isinstance(value, list | tuple) else "a mapping" if isinstance(value, dict) else repr(value)


def between(low: float, high: float, show: Callable[[float], str] = lambda number: f"{number:.0f}") -> AfterValidator:
    """A bound for numbers and durations; None (unlimited) passes."""

    def check(value: float | None) -> float | None:
        if value is not None and not low <= value <= high:
            raise ValueError(f"{show(value)!r} is out of range; allowed: {show(low)} to {show(high)}")
        return value

    return AfterValidator(check)


def size_text(octets: float) -> str:
    """A size as L{size} reads it, in the largest unit that fits."""
    for unit in ("GB", "MB", "KB"):
        if octets and octets % _OCTETS[unit] == 0:
            return f"{octets // _OCTETS[unit]:.0f}{unit}"
    return f"{octets:.0f}"


def measuring(low: str, high: str) -> AfterValidator:
    """A bound for sizes, written as sizes."""
    return between(size(low), size(high), size_text)


def lasting(low: str, high: str) -> AfterValidator:
    """A bound for durations, written as durations."""
    return between(duration(low), duration(high), duration_text)


Duration = Annotated[float, BeforeValidator(duration)]  #: seconds
Size = Annotated[int, BeforeValidator(size)]  #: octets
Unlimited = Annotated[int | None, BeforeValidator(unlimited)]  #: None is unlimited
Integer = Annotated[int, BeforeValidator(integer)]
Switch = Annotated[bool, BeforeValidator(boolean)]
Day = Annotated[datetime.date, BeforeValidator(day)]
Binding = Annotated[BindingValue, BeforeValidator(binding)]
Range = Annotated[IPRange, BeforeValidator(ip_range)]
NextHop = Annotated[NextHopValue, BeforeValidator(next_hop)]
