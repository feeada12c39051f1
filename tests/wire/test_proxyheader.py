"""Tests for L{twistedrelay.wire.proxyheader}."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistedrelay.values.netrange import parse_ip
from twistedrelay.wire.proxyheader import ProxyHeader, ProxyHeaderError, crc32c, read_proxy_header

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
CLIENT, HERE = parse_ip("203.0.113.7"), parse_ip("192.0.2.25")
V1 = b"PROXY TCP4 203.0.113.7 192.0.2.25 40000 25\r\n"
IPV4 = CLIENT.packed + HERE.packed + struct.pack("!HH", 40000, 25)
IPV6 = parse_ip("2001:db8::7").packed + parse_ip("2001:db8::25").packed + struct.pack("!HH", 40000, 25)


def v2(body: bytes, command: int = 0x21, family: int = 0x11) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


def vector(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


def signed(*before: bytes, after: bytes = b"") -> bytes:
    """A header with its checksum between other vectors."""
    body = IPV4 + b"".join(before)
    blank = v2(body + vector(3, bytes(4)) + after)
    return v2(body + vector(3, struct.pack("!I", crc32c(blank))) + after)


TLS = vector(0x20, b"\x01" + bytes(4) + vector(0x21, b"TLSv1.3") + vector(0x22, b"someone"))
GOOD = {
    V1: ((CLIENT, 40000), (HERE, 25)),
    b"PROXY TCP6 2001:db8::7 2001:db8::25 40000 25\r\n": ((parse_ip("2001:db8::7"), 40000), (parse_ip("2001:db8::25"), 25)),
    b"PROXY TCP6 ::ffff:203.0.113.7 ::ffff:192.0.2.25 1 0\r\n": ((CLIENT, 1), (HERE, 0)),
    b"PROXY UNKNOWN\r\n": (None, None),
    b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n": (None, None),
    v2(IPV4): ((CLIENT, 40000), (HERE, 25)),
    v2(IPV6, family=0x21): ((parse_ip("2001:db8::7"), 40000), (parse_ip("2001:db8::25"), 25)),
    v2(b"", command=0x20, family=0x00): (None, None),
    v2(IPV4, command=0x20): (None, None),
    v2(b"whatever", command=0x20, family=0x99): (None, None),
    v2(b"whatever", family=0x00): (None, None),
    signed(): ((CLIENT, 40000), (HERE, 25)),
    signed(TLS, vector(2, b"mx"), after=vector(4, bytes(30))): ((CLIENT, 40000), (HERE, 25)),
}


@pytest.mark.parametrize("header", list(GOOD))
def test_a_header_is_read_however_it_is_cut(header: bytes) -> None:
    for rest in (b"", b"EHLO client.example\r\n", header):
        whole = header + rest
        for end in range(len(header)):
            assert read_proxy_header(whole[:end]) is None, whole[:end]
        found = read_proxy_header(whole)
        assert found is not None
        assert found.length == len(header)
        assert (found.source, found.destination) == GOOD[header]


def test_addresses_are_folded() -> None:
    mapped = ipaddress.IPv6Address("::ffff:203.0.113.7").packed
    found = read_proxy_header(v2(mapped + mapped + bytes(4), family=0x21))
    assert found is not None
    assert found.source == (CLIENT, 0)


def test_what_the_balancer_adds_is_noted() -> None:
    found = read_proxy_header(v2(IPV4 + vector(2, "mäil.example\r\n".encode()) + TLS + vector(0xE4, b"own")))
    assert found == ProxyHeader(found.length, (CLIENT, 40000), (HERE, 25), "mäil.example??", "TLSv1.3")
    plain = read_proxy_header(v2(IPV4 + vector(0x20, b"\x00" + bytes(4) + vector(0x21, b"TLSv1.3"))))
    assert plain is not None
    assert plain.tls == "", "the client did not speak TLS"
    unnamed = read_proxy_header(v2(IPV4 + vector(0x20, b"\x01" + bytes(4))))
    assert unnamed is not None
    assert unnamed.tls == "TLS"


@pytest.mark.parametrize(
    "octets",
    [
        b"EHLO client.example\r\n",
        b"QUIT\r\n",
        b"\x16\x03\x01\x02\x00",
        b"\r\n\r\nX",
        b"proxy TCP4 203.0.113.7 192.0.2.25 40000 25\r\n",
        b"PROXY  TCP4 203.0.113.7 192.0.2.25 40000 25\r\n",
        b"PROXY TCP4  203.0.113.7 192.0.2.25 40000 25\r\n",
        b"PROXY\tTCP4 203.0.113.7 192.0.2.25 40000 25\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.25 40000\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.25 40000 25 \r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.25 40000 25\n\r\n",
        b"PROXY TCP4 2001:db8::7 192.0.2.25 40000 25\r\n",
        b"PROXY TCP6 203.0.113.7 192.0.2.25 40000 25\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::1 40000 25\r\n",
        b"PROXY TCP4 203.0.113.007 192.0.2.25 40000 25\r\n",
        b"PROXY TCP4 203.0.113.7 client.example 40000 25\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.\xff 40000 25\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.25 65536 25\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.25 -1 25\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.25 +1 25\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.25 1_0 25\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.25 025 25\r\n",
        b"PROXY UDP4 203.0.113.7 192.0.2.25 40000 25\r\n",
        b"PROXY UNKNOWNS\r\n",
        b"PROXY \r\n",
        b"PROXY UNKNOWN " + b"x" * 93,
        b"PROXY TCP4 " + b"x" * 200,
        SIGNATURE + b"\x11\x11\x00\x0c" + IPV4,
        SIGNATURE + b"\x22\x11\x00\x0c" + IPV4,
        SIGNATURE + b"\x21\x11\x10\x01",
        v2(IPV4[:11]),
        v2(IPV4, family=0x21),
        v2(IPV4, family=0x12),
        v2(IPV6, family=0x22),
        v2(bytes(216), family=0x31),
        v2(IPV4, family=0x01),
        v2(IPV4, family=0xFF),
        v2(IPV4 + b"\x04"),
        v2(IPV4 + b"\x04\x00\x05abcd"),
        v2(IPV4 + vector(3, bytes(4))),
        v2(IPV4 + vector(3, b"")),
        v2(IPV4 + vector(0x20, b"\x01")),
        v2(IPV4 + vector(0x20, b"\x01" + bytes(4) + b"\x21\x00\x09TLS")),
        signed(TLS)[:-1] + b"\xff",
    ],
)
def test_what_is_no_header(octets: bytes) -> None:
    with pytest.raises(ProxyHeaderError):
        read_proxy_header(octets)


def test_the_longest_line_of_version_1() -> None:
    line = b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n"
    assert len(line) == 107
    assert read_proxy_header(line) == ProxyHeader(107)
    with pytest.raises(ProxyHeaderError):
        read_proxy_header(b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n")


def test_the_checksum_is_castagnolis() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA


def test_any_flipped_bit_breaks_the_checksum() -> None:
    header = signed(vector(2, b"mx.example"))
    for place in range(16, len(header)):
        broken = bytearray(header)
        broken[place] ^= 0x10
        try:
            found = read_proxy_header(bytes(broken))
        except ProxyHeaderError:
            continue
        # Where the flip hit the checksum's own type or length, there is none any more.
        assert found is not None
        assert broken[place - 3 : place + 4].find(b"\x13\x00\x04") >= 0 or header[place] == 3


@given(st.binary(max_size=300), st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11\x00\x20"]))
def test_nothing_else_is_ever_raised(octets: bytes, beginning: bytes) -> None:
    try:
        found = read_proxy_header(beginning + octets)
    except ProxyHeaderError:
        return
    assert found is None or found.length <= len(beginning + octets)
