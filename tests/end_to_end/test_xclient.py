"""XCLIENT by swaks: a trusted host speaks for a client that may relay, and for one that may not."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

from tests.end_to_end.relay import Relay, article
from tests.end_to_end.sink import Sink
from tests.network import LOOPBACK, PATIENCE, eventually

GATEWAY = "127.0.0.9"


def swaks(program: str, port: int, source: str, client: str) -> subprocess.CompletedProcess[str]:
    """A message for outside, in the name of a client."""
    command = [program, "--server", f"{LOOPBACK}:{port}", "--local-interface", source, "--from", "a@akkaya.local"]
    command += ["--to", "someone@elsewhere.example", "--xclient-addr", client, "--xclient-port", "4711"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)


def test_a_trusted_host_speaks_for_a_client(program: Callable[[str], str]) -> None:
    """The client's connector decides; from others the verb is none."""
    path = program("swaks")
    with Sink() as mailbox, Sink() as outside:
        configuration, ports = article(mailbox.hop, outside.hop)
        configuration["receive_connectors"]["Default Frontend"]["xclient_from"] = [GATEWAY]
        with Relay(configuration, ports) as relay:
            done = swaks(path, relay.port, GATEWAY, "127.0.0.2")
            assert done.returncode == 0, done.stdout + done.stderr
            eventually(lambda: outside.for_recipient("someone@elsewhere.example"), "it is delivered")
            assert "550 5.7.54" in swaks(path, relay.port, GATEWAY, "127.0.0.3").stdout
            assert "XCLIENT" not in swaks(path, relay.port, "127.0.0.3", "127.0.0.2").stdout.split("EHLO", 1)[1].split("->")[0]
            wanted = re.compile(rf'connect client=127\.0\.0\.2:4711 connector=IP_Relay .* proxy="?{re.escape(GATEWAY)}:\d+')
            eventually(lambda: wanted.search(relay.output()), "the log names both")
    assert len(outside.delivered) == 1
