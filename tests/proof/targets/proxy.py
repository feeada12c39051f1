"""The header of the PROXY protocol, against a reader that looks at the whole of it."""

from __future__ import annotations

import ipaddress
import re
import socket
import struct

from tests.proof.targets.target import target
from twistedrelay.values.netrange import parse_ip
from twistedrelay.wire.proxyheader import ProxyHeaderError, read_proxy_header

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_V1 = re.compile(rb"PROXY TCP([46]) ([^ \r]+) ([^ \r]+) (\d{1,5}) (\d{1,5})\r\n")
_LONGEST = 16 + 4096

Ends = tuple[tuple[str, int], tuple[str, int]]


def naive_v1(data: bytes) -> Ends | None:
    """The ends in a line of version 1, or None: there are none, or it is no such line."""
    found = _V1.match(data)
    if found is None or found.end() > 107 or any(port != str(int(port)).encode() for port in found.groups()[3:]):
        return None
    family = socket.AF_INET if found[1] == b"4" else socket.AF_INET6
    try:
        there, here = (socket.inet_ntop(family, socket.inet_pton(family, text.decode("ascii"))) for text in found.groups()[1:3])
    except (OSError, ValueError):
        return None
    ports = int(found[4]), int(found[5])
    return ((there, ports[0]), (here, ports[1])) if max(ports) < 65536 else None


def naive_v2(data: bytes) -> Ends | None:
    """The ends in a header of version 2 for TCP, or None."""
    command, family, size = struct.unpack("!BBH", data[12:16])
    if command != 0x21 or family not in (0x11, 0x21):
        return None
    width = 4 if family == 0x11 else 16
    block = data[16 : 16 + size]
    there, here = (str(ipaddress.ip_address(block[at : at + width])) for at in (0, width))
    ports = struct.unpack("!HH", block[2 * width : 2 * width + 4])
    return (there, ports[0]), (here, ports[1])


@target(
    "proxy",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 50000 25\r\n",
    b"PROXY TCP6 2001:db8::1 ::ffff:192.0.2.2 50000 25\r\n",
    b"PROXY UNKNOWN\r\n",
    b"PROXY ",
    b"TCP4 ",
    b"TCP6 ",
    b"192.0.2.1 ",
    b"::1 ",
    b"::1%eth0 ",
    b"25",
    b" 065535",
    b"\r\n",
    _SIGNATURE + b"\x21\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\xc3\x50\0\x19",
    _SIGNATURE + b"\x21\x21\0\x24" + bytes(range(32)) + b"\xc3\x50\0\x19",
    _SIGNATURE + b"\x20\0\0\0",
    _SIGNATURE + b"\x21\x11",
    _SIGNATURE,
    b"\0\x0c",
    b"\0\x13",
    b"\x03\0\4\0\0\0\0",
    b"\x02\0\1x",
    b"\x20\0\x0d\1\0\0\0\0\x21\0\5TLSv1",
)
def proxy(data: bytes) -> None:
    """A header is found as soon as it is there, is what a naive reader finds, and what follows changes nothing."""
    found, error, at = None, False, 0
    for at in range(len(data) + 1):
        try:
            found = read_proxy_header(data[:at])
        except ProxyHeaderError as refused:
            assert str(refused).isprintable()
            error = True
        if error or found is not None:
            break
        assert at <= _LONGEST, "a header that never ends is refused"
    try:
        whole = read_proxy_header(data)
    except ProxyHeaderError:
        assert error
        return
    assert not error
    assert whole == found
    if found is None:
        return
    assert found.length == at, "not one octet of the session is taken for the header"
    assert found.authority.isprintable()
    assert found.tls.isprintable()
    expected = naive_v1(data) if data.startswith(b"PROXY") else naive_v2(data)
    if found.source is None or found.destination is None:
        assert expected is None
        return
    assert expected is not None
    assert (found.source, found.destination) == tuple((parse_ip(address), port) for address, port in expected)
