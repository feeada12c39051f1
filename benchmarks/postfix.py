"""Postfix as a peer: an unpacked copy with a configuration and a queue of its own, tuned as its TUNING_README says.

Durability is Postfix's own (fsync before each 250).  Nothing of the machine's configuration is read or changed.
Its master must be started as root.
"""

from __future__ import annotations

import grp
import os
import pwd
import signal
import subprocess
import sys
from pathlib import Path

from benchmarks.workload import dies_with_parent
from tests.network import LOOPBACK, answers, eventually, free_port
from tests.programs import UNPACKED, environment, locate

_QUEUES = ("incoming", "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "saved", "trace")

_MAIN = """\
compatibility_level = 3.6
command_directory = {unpacked}/usr/sbin
daemon_directory = {daemons}
shlib_directory = {unpacked}/usr/lib/postfix
meta_directory = {directory}/conf
queue_directory = {directory}/queue
data_directory = {directory}/data
mail_owner = {owner}
setgid_group = {group}
import_environment = MAIL_CONFIG LD_LIBRARY_PATH TZ
myhostname = postfix.bench.test
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{sink}
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
smtpd_tls_security_level = none
smtp_tls_security_level = none
smtpd_sasl_auth_enable = no
smtputf8_enable = no
disable_dns_lookups = yes
smtp_host_lookup = native
message_size_limit = 52428800
default_process_limit = {processes}
max_use = 10000
in_flow_delay = 0
initial_destination_concurrency = 20
default_destination_concurrency_limit = 40
smtp_connection_cache_destinations = [127.0.0.1]:{sink}
smtp_connection_cache_time_limit = 60s
smtp_connection_reuse_count_limit = 0
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_error_sleep_time = 0
qmgr_message_active_limit = 50000
qmgr_message_recipient_limit = 50000
enable_long_queue_ids = yes
"""

_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
"""


class Postfix:
    """See the module."""

    name = "Postfix"

    def __init__(self, directory: Path, processes: int = 100, settings: str = "", wrapper: tuple[str, ...] = ()) -> None:
        """
        @param processes: C{default_process_limit}: how many sessions there may be at once.
        @param settings: lines of main.cf that count instead of ours.
        @param wrapper: a command that runs the command behind it.
        """
        self._processes = processes
        self._settings = settings
        self._wrapper = wrapper
        if os.geteuid() != 0:
            raise PermissionError("Postfix's master process must be started as root")
        self.directory = directory / "postfix"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, sink_port: int) -> None:
        """Write the configuration and start C{master}."""
        self._lay_out(sink_port)
        self._process = subprocess.Popen(
            [*self._wrapper, locate("master"), "-d", "-c", str(self.directory / "conf")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**environment(), "MAIL_CONFIG": str(self.directory / "conf")},
            start_new_session=True,
            preexec_fn=dies_with_parent,
        )
        eventually(self._ready, "Postfix listens")

    def stop(self) -> None:
        """End the master, and with it its process group."""
        if self._process is None:
            return
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(30)
        self._process = None

    def pids(self) -> list[int]:
        """The master."""
        return [self._process.pid] if self._process else []

    def version(self) -> str:
        """The version, for the table."""
        command = [locate("postconf"), "-c", str(self.directory / "conf"), "-h", "mail_version"]
        return subprocess.run(command, capture_output=True, text=True, env=environment(), check=True, timeout=30).stdout.strip()

    def _ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            sys.stderr.write(f"Postfix's master ended with {self._process.returncode}; its reason is in the system log\n")
            raise ChildProcessError("Postfix did not start")
        return answers(self.port, LOOPBACK)

    def _lay_out(self, sink_port: int) -> None:
        owner, group = _owner()
        uid, gid = pwd.getpwnam(owner).pw_uid, grp.getgrnam(group).gr_gid
        for path in (self.directory, self.directory.parent):
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o755)
        (self.directory / "conf").mkdir(exist_ok=True)
        queue, data = self.directory / "queue", self.directory / "data"
        for path in (queue, queue / "pid"):
            path.mkdir(exist_ok=True)
        for path in (data, *(queue / name for name in (*_QUEUES, "private"))):
            path.mkdir(exist_ok=True, mode=0o700)
            os.chown(path, uid, -1)
        for name, mode in (("public", 0o710), ("maildrop", 0o730)):
            (queue / name).mkdir(exist_ok=True)
            os.chown(queue / name, uid, gid)
            (queue / name).chmod(mode)
        main = _MAIN.format(
            unpacked=UNPACKED,
            daemons=Path(locate("master")).parent,
            directory=self.directory,
            owner=owner,
            group=group,
            sink=sink_port,
            processes=self._processes,
        )
        replaced = {line.partition("=")[0].strip() for line in self._settings.splitlines()}
        kept = [line for line in main.splitlines() if line.partition("=")[0].strip() not in replaced]
        (self.directory / "conf/main.cf").write_text("\n".join([*kept, self._settings, ""]))
        (self.directory / "conf/master.cf").write_text(_MASTER.format(port=self.port))


def _owner() -> tuple[str, str]:
    """The user and the group to run as: Postfix's own where they exist, else two that every Debian has and nobody uses."""
    try:
        return pwd.getpwnam("postfix").pw_name, grp.getgrnam("postdrop").gr_name
    except KeyError:
        return "uucp", "news"
