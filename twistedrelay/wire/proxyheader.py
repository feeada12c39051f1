"""The header of the PROXY protocol, versions 1 and 2, without I/O: octets in, the two ends of the real connection out.

Whether a peer may send one is decided elsewhere, and what a balancer says about TLS is only noted: it never stands for TLS of ours.
LOCAL, UNKNOWN and an unspecified family mean that the balancer speaks for itself.  Families that cannot be told apart by address
(UNIX sockets) and datagrams are errors, which the specification allows.

Source: HAProxy, "The PROXY protocol", versions 1 and 2 (2020/03/05), sections 2.1 and 2.2; RFC 3720 section 12.1 (CRC32C).
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator

import attrs

from twistedrelay.values.netrange import IPAddress, parse_ip
from twistedrelay.values.printable import masked

_V1 = b"PROXY "
_V1_LONGEST = 107  #: octets of a line of version 1, CRLF included
_V2 = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_FIXED = 16
_V2_LONGEST = 4096  #: octets behind the fixed part: addresses take 36, the rest is what the balancer adds

_LOCAL, _PROXY = 0x20, 0x21
_UNSPECIFIED = 0x00
_ADDRESSES = {0x11: struct.Struct("!4s4sHH"), 0x21: struct.Struct("!16s16sHH")}  # TCP over IPv4 and IPv6

_AUTHORITY, _CRC32C, _SSL, _SSL_VERSION = 0x02, 0x03, 0x20, 0x21
_CLIENT_SPOKE_TLS = 0x01


class ProxyHeaderError(Exception):
    """The octets are no header; C{str()} says why."""


@attrs.frozen(slots=True)
class ProxyHeader:
    """What a header says.

    @ivar length: how many octets it took.
    @ivar source: the client's address and port, or None: the balancer speaks for itself.
    @ivar destination: the address and port that the client connected to, likewise.
    @ivar authority: the host name that the client asked the balancer for (SNI), or C{""}.
    @ivar tls: the version of TLS between client and balancer, C{""} for none or not known.
    """

    length: int
    source: tuple[IPAddress, int] | None = None
    destination: tuple[IPAddress, int] | None = None
    authority: str = ""
    tls: str = ""


def read_proxy_header(data: bytes) -> ProxyHeader | None:
    """The header at the beginning of what a connection sent so far, or None: more is needed.

    @raise ProxyHeaderError: no header begins like this.
    """
    if data.startswith(_V2):
        return _read_v2(data)
    if data.startswith(_V1):
        return _read_v1(data)
    if _V2.startswith(data) or _V1.startswith(data):
        return None
    raise ProxyHeaderError("no PROXY header")


def _read_v1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, _V1_LONGEST)
    if end < 0:
        if len(data) >= _V1_LONGEST:
            raise ProxyHeaderError("the line is too long")
        return None
    family, *fields = data[len(_V1) : end].split(b" ")
    if family == b"UNKNOWN":  # whatever follows is to be ignored
        return ProxyHeader(end + 2)
    if family not in (b"TCP4", b"TCP6"):
        raise ProxyHeaderError("unknown family")
    if len(fields) != 4:
        raise ProxyHeaderError("not two addresses and two ports")
    version = 4 if family == b"TCP4" else 6
    source, destination = (_address(text, version) for text in fields[:2])
    return ProxyHeader(end + 2, (source, _port(fields[2])), (destination, _port(fields[3])))


def _address(text: bytes, version: int) -> IPAddress:
    try:
        address = ipaddress.ip_address(text.decode("ascii"))
    except ValueError:
        raise ProxyHeaderError("not an address") from None
    if address.version != version or b"%" in text:
        raise ProxyHeaderError(f"not an IPv{version} address")
    return parse_ip(str(address))


def _port(text: bytes) -> int:
    if not (text.isdigit() and len(text) <= 5 and int(text) <= 65535 and (text == b"0" or text[:1] != b"0")):
        raise ProxyHeaderError("not a port")
    return int(text)


def _read_v2(data: bytes) -> ProxyHeader | None:
    if len(data) < _V2_FIXED:
        return None
    command, family, size = struct.unpack_from("!BBH", data, len(_V2))
    if command not in (_LOCAL, _PROXY):
        raise ProxyHeaderError("unknown version or command")
    if size > _V2_LONGEST:
        raise ProxyHeaderError("the header is too long")
    length = _V2_FIXED + size
    if len(data) < length:
        return None
    if command == _LOCAL or family == _UNSPECIFIED:  # whatever follows is to be ignored
        return ProxyHeader(length)
    form = _ADDRESSES.get(family)
    if form is None:
        raise ProxyHeaderError("a family that is not TCP over IP")
    if size < form.size:
        raise ProxyHeaderError("the addresses are cut off")
    source, destination, source_port, destination_port = form.unpack_from(data, _V2_FIXED)
    authority = tls = ""
    for kind, at, value in _vectors(data, _V2_FIXED + form.size, length):
        if kind == _CRC32C:
            _check(data, at, value, length)
        elif kind == _AUTHORITY:
            authority = _text(value)
        elif kind == _SSL:
            tls = _tls(value)
    return ProxyHeader(length, (_unpacked(source), source_port), (_unpacked(destination), destination_port), authority, tls)


def _unpacked(packed: bytes) -> IPAddress:
    return parse_ip(str(ipaddress.ip_address(packed)))


def _vectors(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, bytes]]:
    """Type, place and value of what follows the addresses."""
    while at < end:
        if at + 3 > end:
            raise ProxyHeaderError("what follows the addresses is cut off")
        kind, size = struct.unpack_from("!BH", data, at)
        at += 3
        if at + size > end:
            raise ProxyHeaderError("what follows the addresses is cut off")
        yield kind, at, data[at : at + size]
        at += size


def _check(data: bytes, at: int, value: bytes, length: int) -> None:
    """The checksum is that of the whole header, with zeros in its own place."""
    if len(value) != 4 or int.from_bytes(value, "big") != crc32c(data[:at] + bytes(4) + data[at + 4 : length]):
        raise ProxyHeaderError("wrong checksum")


def _tls(value: bytes) -> str:
    """The client's TLS version."""
    if len(value) < 5:
        raise ProxyHeaderError("the TLS information is cut off")
    if not value[0] & _CLIENT_SPOKE_TLS:
        return ""
    return next((_text(part) for kind, _, part in _vectors(value, 5, len(value)) if kind == _SSL_VERSION), "TLS")


def _text(value: bytes) -> str:
    """Foreign text for a log."""
    return masked(value[:255].decode("utf-8", "replace"))


def _crc32c_table() -> tuple[int, ...]:
    table = []
    for octet in range(256):
        for _ in range(8):
            octet = octet >> 1 ^ (0x82F63B78 if octet & 1 else 0)
        table.append(octet)
    return tuple(table)


_TABLE = _crc32c_table()


def crc32c(data: bytes) -> int:
    """The Castagnoli checksum, which no standard module has.  A header is short."""
    crc = 0xFFFFFFFF
    for octet in data:
        crc = _TABLE[(crc ^ octet) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF
