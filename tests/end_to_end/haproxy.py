"""HAProxy in front of a relay: its configuration, its process, and what it thinks of its servers."""

from __future__ import annotations

import csv
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

from tests.network import LOOPBACK, PATIENCE, eventually, free_port
from tests.programs import environment

#: The address that the balancer connects from.
BALANCER = "127.0.0.9"

_GLOBAL = """\
global
    stats socket {directory}/stats mode 600 level admin
    maxconn 1000
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout check 5s
"""

_SERVICE = """\
listen {name}
    bind {bind}:{port}
    source {source}
    {options}
    server relay {target}
"""


class HAProxy:
    """A balancer with one service for each way to reach a relay.

    @ivar ports: where each service listens, by its name.
    """

    def __init__(self, program: str) -> None:
        self._program = program
        # Not pytest's tmp_path: a UNIX socket's path is short.
        self.directory = Path(tempfile.mkdtemp(prefix="haproxy-"))
        self.ports: dict[str, int] = {}
        self._text = _GLOBAL.format(directory=self.directory)
        self._process: subprocess.Popen[bytes] | None = None

    def add(self, name: str, port: int, server: str = "", options: str = "", source: str = BALANCER) -> None:
        """A service for a port of the relay.

        @param server: parameters of the server line: C{send-proxy check}.
        @param options: further lines.
        """
        self.ports[name] = free_port()
        self._text += _SERVICE.format(
            name=name,
            bind=LOOPBACK,
            port=self.ports[name],
            source=source,
            options=options,
            target=f"{LOOPBACK}:{port} {server}",
        )

    def status(self, name: str) -> dict[str, Any]:
        """What HAProxy shows of a service's server: C{status}, C{check_status}, C{last_chk}."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(PATIENCE)
            control.connect(str(self.directory / "stats"))
            control.sendall(b"show stat\n")
            said = b""
            while part := control.recv(65536):
                said += part
        rows = csv.DictReader(said.decode().removeprefix("# ").splitlines())
        return next(row for row in rows if (row["pxname"], row["svname"]) == (name, "relay"))

    def __enter__(self) -> Self:
        file = self.directory / "haproxy.cfg"
        file.write_text(self._text)
        with (self.directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [self._program, "-db", "-f", str(file)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment()
            )
        try:
            eventually((self.directory / "stats").exists, "HAProxy runs", 20)
        except AssertionError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
        shutil.rmtree(self.directory, ignore_errors=True)
