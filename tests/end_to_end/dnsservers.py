"""Real DNS servers on loopback: NSD, authoritative for zones that a test writes, and Unbound, which resolves by asking it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

import dns.exception
import dns.message
import dns.query

from tests.network import LOOPBACK, PATIENCE, eventually, free_port
from tests.programs import environment, locate

_NSD = """\
server:
  ip-address: {address}@{port}
  username: ""
  chroot: ""
  zonesdir: {directory}
  database: ""
  pidfile: {directory}/nsd.pid
  xfrdfile: {directory}/xfrd.state
  zonelistfile: {directory}/zone.list
  xfrdir: {directory}
  server-count: 1
remote-control:
  control-enable: no
"""

_UNBOUND = """\
server:
  interface: {address}@{port}
  access-control: 127.0.0.0/8 allow
  do-daemonize: no
  do-ip6: no
  use-syslog: no
  username: ""
  chroot: ""
  directory: {directory}
  pidfile: ""
  module-config: "iterator"
  do-not-query-localhost: no
  local-zone: "test." nodefault
remote-control:
  control-enable: no
"""


class _Server:
    """A program that answers DNS questions."""

    def __init__(self, program: str) -> None:
        self._program = program
        self.directory = Path(tempfile.mkdtemp(prefix=f"{program}-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """For C{external_dns_servers}."""
        return f"{LOOPBACK}:{self.port}"

    def _configuration(self, template: str, more: str) -> Path:
        file = self.directory / f"{self._program}.conf"
        file.write_text(template.format(address=LOOPBACK, port=self.port, directory=self.directory) + more)
        return file

    def _start(self, file: Path) -> None:
        with (self.directory / "log").open("ab") as log:
            command = [locate(self._program), "-d", "-c", str(file)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment())
        eventually(self._answers, f"{self._program} answers")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.directory / "log").read_text()
        try:
            dns.query.udp(dns.message.make_query("ready.test.", "TXT"), LOOPBACK, timeout=1, port=self.port)
        except (OSError, dns.exception.DNSException):
            return False
        return True

    def stop(self) -> None:
        """End it, and wait for that."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)
            self._process = None

    def __exit__(self, *exc_info: object) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


class Authority(_Server):
    """NSD with the zone C{test}."""

    def __init__(self, records: str) -> None:
        super().__init__("nsd")
        zone = "$ORIGIN test.\n$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n"
        (self.directory / "test.zone").write_text(zone + records)

    def __enter__(self) -> Self:
        self._start(self._configuration(_NSD, "zone:\n  name: test\n  zonefile: test.zone\n"))
        return self


class Recursor(_Server):
    """Unbound, which asks an authority for C{test}, and for C{dead.example}, which the authority refuses: that is answered SERVFAIL."""

    def __init__(self, authority: Authority) -> None:
        super().__init__("unbound")
        self._authority = authority

    def __enter__(self) -> Self:
        zones = ("test.", "dead.example.")
        more = "".join(f'stub-zone:\n  name: "{name}"\n  stub-addr: {LOOPBACK}@{self._authority.port}\n' for name in zones)
        self._start(self._configuration(_UNBOUND, more))
        return self
