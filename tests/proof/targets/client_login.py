"""What a hostile server says to a client that logs in."""

from __future__ import annotations

import base64
import re

from tests.proof.targets.target import packets, target
from twistedrelay.wire.client import SMTPClient
from twistedrelay.wire.client_values import Broken, ClientSettings, Credentials, Derive, Ready

PASSWORD = Credentials("user@a.test", "pass-word-17")
TOKEN = Credentials("user@a.test", token="token-word-17")
BINDINGS = {"tls-exporter": b"e" * 32}

GREETING = b"220 mx.test\r\n250-mx.test\r\n"
ANSWERS = (
    b"250 AUTH PLAIN LOGIN\r\n",
    b"250 AUTH CRAM-MD5 SCRAM-SHA-256 SCRAM-SHA-256-PLUS\r\n",
    b"250 AUTH XOAUTH2 OAUTHBEARER\r\n",
    b"250 AUTH=LOGIN\r\n",
    b"334 \r\n",
    b"334 VXNlcm5hbWU6\r\n",
    b"334 PDFAeD4=\r\n",
    b"334 " + base64.b64encode(b"r=nonce-server,s=c2FsdA==,i=4096") + b"\r\n",
    b"334 " + base64.b64encode(b"v=" + base64.b64encode(b"x" * 32)) + b"\r\n",
    b"334 " + base64.b64encode(b'{"status":"401","error_description":"token-word-17"}') + b"\r\n",
    b"334 =\r\n",
    b"235 2.7.0 ok\r\n",
    b"432 4.3.2 busy\r\n",
    b"454 4.7.0 later\r\n",
    b"504 5.5.4 unknown\r\n",
    b"504 5.7.4 unknown\r\n",
    b"535-5.7.8 pass-word-17\r\n535 5.7.8 cGFzcy13b3JkLTE3\r\n",
)
_SAID = re.compile(rb"(?:(?:EHLO|HELO) relay\.test|AUTH [A-Z0-9-]+(?: [A-Za-z0-9+/]+={0,2})?|[A-Za-z0-9+/]*={0,2})\r\n")


@target("client_login", *ANSWERS)
def client_login(data: bytes) -> None:
    """It says commands and base64 alone, comes to an end, and shows no secret; without its proof no SCRAM server is believed."""
    for credentials in (PASSWORD, TOKEN):
        for parts in packets(data):
            _session(credentials, parts)


def _session(credentials: Credentials, parts: list[bytes]) -> None:
    engine = SMTPClient(ClientSettings("relay.test", secure=True, credentials=credentials))
    engine.bind(BINDINGS)
    said = b""
    ended = False
    for part in [GREETING, *parts]:
        engine.receive_data(part)
        while (event := engine.next_event()) is not None:
            assert not ended
            if isinstance(event, Derive):
                said += engine.data_to_send()
                engine.derived(b"c=biws,r=x,p=y")  # hashing itself would only take time
            else:
                assert isinstance(event, Ready | Broken)
                ended = isinstance(event, Broken)
                if isinstance(event, Broken):
                    assert event.reply.code >= 400
                    assert (credentials.password or credentials.token) not in str(event.reply)
        said += engine.data_to_send()
        if engine.ready:  # what comes now is no longer a login's
            assert b"AUTH SCRAM" not in said.rpartition(b"AUTH ")[1] + said.rpartition(b"AUTH ")[2]
            break
    for line in said.splitlines(keepends=True):
        assert _SAID.fullmatch(line), line
    assert said.count(b"\r\n") < 40
