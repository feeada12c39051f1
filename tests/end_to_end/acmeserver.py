"""Pebble, Let's Encrypt's test server, on loopback ports: it looks at challenges really, and forgets nothing while it runs."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

import trustme

from tests.network import LOOPBACK, PATIENCE, answers, eventually, free_port


class Pebble:
    """An ACME server.

    @ivar directory_url: where its directory is.
    @ivar ca_file: whom to trust there.
    @ivar http_port: where it looks for challenges.
    """

    def __init__(self, program: str, dns: str, lifetime: int = 90 * 86400) -> None:
        """
        @param dns: the name server that it asks for the hosts to look at.
        @param lifetime: seconds that its certificates are good for.
        """
        self._program = program
        self._dns = dns
        self._directory = tempfile.TemporaryDirectory(prefix="pebble-")
        directory = Path(self._directory.name)
        self.port, self.http_port = free_port(), free_port()
        self.directory_url = f"https://localhost:{self.port}/dir"
        authority = trustme.CA()
        own = authority.issue_cert("localhost", LOOPBACK)
        self.ca_file = directory / "authority.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))
        certificate, key = directory / "own.pem", directory / "own.key"
        certificate.write_bytes(own.cert_chain_pems[0].bytes())
        key.write_bytes(own.private_key_pem.bytes())
        self._file = directory / "pebble.json"
        settings = {
            "listenAddress": f"{LOOPBACK}:{self.port}",
            "certificate": str(certificate),
            "privateKey": str(key),
            "httpPort": self.http_port,
            "tlsPort": free_port(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": False,
            "certificateValidityPeriod": lifetime,
        }
        self._file.write_text(json.dumps({"pebble": settings}))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it answers."""
        with (Path(self._directory.name) / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-config", str(self._file), "-dnsserver", self._dns],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._directory.name,
                env={**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"},
            )
        eventually(lambda: answers(self.port), "pebble answers")

    def stop(self) -> None:
        """End it; it forgets all accounts."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)
            self._process = None

    def output(self) -> str:
        """What it has logged."""
        return (Path(self._directory.name) / "log").read_text(errors="replace")

    def __enter__(self) -> Pebble:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()
        self._directory.cleanup()
