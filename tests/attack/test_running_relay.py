"""Attacks on the running daemon: what needs a real socket, a real handshake or a real spool."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import ssl

import pytest

from tests.end_to_end.site import Site, shared_site
from tests.network import LOOPBACK, PATIENCE, eventually, stuffed, unverified

__all__ = ["shared_site"]

pytestmark = pytest.mark.end_to_end

_NESTED = b"".join(b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (level, level) for level in range(2000))
_INSIDE = b"Content-Type: message/rfc822\r\n\r\n" * 2000
CONTENTS = {
    "file names of RFC 2231": b"Subject: x\r\nContent-Disposition: attachment; filename*0*=x''a; filename*=''\r\n\r\nx\r\n",
    "names of JavaScript": b"__proto__: x\r\nconstructor: y\r\ntoString: z\r\nhasOwnProperty:\r\n\r\nx\r\n",
    "nested multiparts": b"Subject: x\r\nMIME-Version: 1.0\r\n" + _NESTED,
    "messages in messages": b"Subject: x\r\n" + _INSIDE,
    "a long header line": b"Subject: " + b"x" * 60_000 + b"\r\n\r\nx\r\n",
    "many header fields": b"".join(b"X-%d: y\r\n" % number for number in range(2000)) + b"\r\nx\r\n",
    "a header that never ends": b"Subject: x\r\n" + b" y\r\n" * 20_000 + b"z",
    "no colon": b"this is no header\r\n\r\nx\r\n",
    "octets beyond ASCII": b"Subject: " + bytes(range(128, 256)) + b"\r\n\r\n" + bytes(range(128, 256)) + b"\r\n",
    "broken encoded words": b"Subject: =?utf-8?b?====?= =?x?q?=00?= =?utf-16?b?/////w==?=\r\nFrom: =?\r\n\r\nx\r\n",
    "JSON": b'Subject: {"a": ["\\u0000\\ud800"]}\r\nMessage-ID: {"$ne": 1}\r\n\r\nx\r\n',
    "a bomb of begins": b"Subject: x\r\n\r\n" + b"begin 644 x\r\n" * 2000,
}


def test_hostile_content_passes_unread(shared_site: Site) -> None:
    """What breaks those who parse content is relayed octet by octet, and the relay lives."""
    for content in CONTENTS.values():
        with shared_site.relay.dialogue() as session:
            session.command("EHLO client.example")
            session.command("MAIL FROM:<a@client.example>")
            session.command("RCPT TO:<user@akkaya.local>")
            session.command("DATA")
            session.send(stuffed(content))
            assert session.reply().startswith("250")
    eventually(lambda: len(shared_site.mailbox.delivered) == len(CONTENTS), "all arrive")
    got = [one.content for one in shared_site.mailbox.delivered]
    for name, content in CONTENTS.items():
        expected = content if content.endswith(b"\r\n") else content + b"\r\n"
        assert [one for one in got if one.endswith(b"\r\n" + expected)], name


@pytest.mark.parametrize(
    "name", [b"x\\", b"\\", b"a" * 255, b"mail.cozumpark.com.", b"MAIL.COZUMPARK.COM", b"..", b"*", b"127.0.0.1", b"\xff\xfe", b"a b"]
)
def test_odd_server_names(shared_site: Site, name: bytes) -> None:
    """Whatever the client says in SNI, the handshake succeeds or fails, and the next one succeeds."""
    from OpenSSL import SSL

    with socket.create_connection((LOOPBACK, shared_site.relay.ports["submissions"]), timeout=PATIENCE) as connection:
        client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), connection)
        client.set_tlsext_host_name(name)
        client.set_connect_state()
        connection.setblocking(True)
        with contextlib.suppress(SSL.Error):
            client.do_handshake()
    with socket.create_connection((LOOPBACK, shared_site.relay.ports["submissions"]), timeout=PATIENCE) as connection:
        secured = unverified().wrap_socket(connection, server_hostname="mail.cozumpark.com")
        assert secured.recv(3) == b"220"


def test_garbage_on_the_control_socket(shared_site: Site) -> None:
    """Octets that are no HTTP, halves of requests, and requests for odd things: the daemon lives, relays, and answers."""
    path = str(shared_site.relay.state / "control/control.sock")
    chance = random.Random(20261122)
    garbage = [
        b"",
        b"\0" * 1000,
        os.urandom(4096),
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /v1/../../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /v1/queues HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/queues HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n{",
        b"POST /v1/queues HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        b"GET " + b"/x" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /v1/status HTTP/1.1\r\n" + b"X: y\r\n" * 10_000,
        *(bytes(chance.randrange(256) for _ in range(chance.randrange(200))) for _ in range(20)),
    ]
    for octets in garbage:
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(path)
            with contextlib.suppress(OSError):
                connection.sendall(octets)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1000)
    assert shared_site.relay.status()
    with shared_site.relay.dialogue() as session:
        assert session.command("NOOP").startswith("250")


@pytest.mark.parametrize("port", ["relay", "submission", "submissions"])
def test_garbage_on_each_port(shared_site: Site, port: str) -> None:
    """Random octets, in the clear and where TLS is awaited: refused or hung up on, and the relay lives."""
    chance = random.Random(20261122)
    for _ in range(20):
        with (
            socket.create_connection((LOOPBACK, shared_site.relay.ports[port]), timeout=PATIENCE) as connection,
            contextlib.suppress(OSError),
        ):
            connection.sendall(bytes(chance.randrange(256) for _ in range(chance.randrange(1, 3000))))
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
    with shared_site.relay.dialogue(port) if port != "submissions" else contextlib.nullcontext() as session:
        if session is not None:
            assert session.command("NOOP").startswith("250")
    context: ssl.SSLContext = unverified()
    if port == "submissions":
        with socket.create_connection((LOOPBACK, shared_site.relay.ports[port]), timeout=PATIENCE) as connection:
            assert context.wrap_socket(connection, server_hostname="x").recv(3) == b"220"
