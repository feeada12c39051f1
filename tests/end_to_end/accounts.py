"""Servers of accounts that logins are checked by: Dovecot, slapd, and a PAM stack of our own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest
import trustme

from tests.network import LOOPBACK, PATIENCE, answers, eventually, free_port
from tests.programs import UNPACKED, environment

Program = Callable[[str], str]

BASE = "dc=akkaya,dc=local"
PEOPLE = f"ou=people,{BASE}"
GROUPS = f"ou=groups,{BASE}"
SERVICE = f"cn=relay,ou=services,{BASE}"

_DOVECOT = """\
protocols =
base_dir = {base}/run
state_dir = {base}/state
log_path = /dev/stderr
ssl = no
default_internal_user = nobody
default_internal_group = nogroup
default_login_user = nobody
auth_mechanisms = plain
auth_failure_delay = 0
auth_verbose = yes
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {base}/passwd
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={base}
}}
service auth {{
  unix_listener {base}/auth-client {{
    mode = 0666
  }}
}}
"""


class Server:
    """Another program, that can be ended and started again."""

    def __init__(self, command: list[str], ready: Callable[[], bool], log: Path) -> None:
        self._command = command
        self._ready = ready
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it is ready."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self._command, stdout=output, stderr=output, env=environment(), cwd=self.log.parent, start_new_session=True
            )
        process = self.process
        eventually(lambda: self._ready() or process.poll() is not None, f"{self._command[0]} is ready")
        assert process.poll() is None, self.log.read_text(errors="replace")

    def stop(self) -> None:
        """End it, and the processes that it made, which may outlive it as long as they have clients."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(PATIENCE)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


def over_usr(script: str) -> list[str]:
    """A command that runs a shell script where the unpacked programs lie over C{/usr}, for it and its children alone."""
    return ["unshare", "--mount", "sh", "-ec", f"mount -t overlay overlay -o lowerdir={UNPACKED}/usr:/usr /usr; {script}"]


def dovecot_command(configuration: Path) -> list[str]:
    """The command that runs Dovecot in the foreground, installed or unpacked; the test is skipped where this machine cannot."""
    if os.geteuid() != 0:
        pytest.skip("Dovecot's master must be started as root")
    if Path("/usr/sbin/dovecot").exists():
        return ["/usr/sbin/dovecot", "-F", "-c", str(configuration)]
    if subprocess.run(over_usr("true"), capture_output=True, check=False, timeout=PATIENCE).returncode != 0:
        pytest.skip("Dovecot knows its modules by absolute paths, and this machine does not let us mount the unpacked ones over /usr")
    return over_usr(f"exec /usr/sbin/dovecot -F -c {configuration}")


def dovecot(directory: Path, program: Program) -> Server:
    """Dovecot's authentication service, with the accounts of C{directory/passwd}; its socket is C{directory/auth-client}."""
    program("dovecot")
    configuration = directory / "dovecot.conf"
    command = dovecot_command(configuration)
    configuration.write_text(_DOVECOT.format(base=directory))
    return Server(command, (directory / "auth-client").exists, directory / "dovecot.log")


class Slapd(Server):
    """OpenLDAP's server with people, groups and a service account; its certificate is good for 127.0.0.1.

    @ivar url: C{ldap://127.0.0.1:port}.
    @ivar authority: the file of the CA that its certificate comes from.
    """

    def __init__(self, directory: Path, program: Program, referral: str = "ldap://elsewhere.invalid") -> None:
        """
        @param referral: the server that the entry C{uid=away} is said to be at.
        """
        port = free_port()
        super().__init__([], lambda: answers(port), directory / "slapd.log")
        binary = program("slapd")
        self.url = f"ldap://{LOOPBACK}:{port}"
        self.authority = directory / "ca.pem"
        self.port = port
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.authority))
        certificate = authority.issue_cert(LOOPBACK)
        certificate.private_key_pem.write_to_path(str(directory / "key.pem"))
        certificate.cert_chain_pems[0].write_to_path(str(directory / "cert.pem"))
        (directory / "data").mkdir()
        configuration = directory / "slapd.conf"
        configuration.write_text(_slapd(directory))
        ldif = directory / "start.ldif"
        ldif.write_text(LDIF.replace("REFERRAL", referral))
        root = UNPACKED if str(binary).startswith(str(UNPACKED)) else Path("/")
        assert (root / "etc/ldap/schema/core.schema").exists()
        add = ["bash", "-c", f"exec -a slapadd {binary} -f {configuration} -l {ldif}"]
        done = subprocess.run(add, capture_output=True, text=True, check=False, env=environment(), timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        self._command = [binary, "-d", "0", "-f", str(configuration), "-h", f"ldap://{LOOPBACK}:{port}/"]


def _slapd(directory: Path) -> str:
    root = UNPACKED if (UNPACKED / "usr/sbin/slapd").exists() else Path("/")
    schemas = "".join(f"include {root}/etc/ldap/schema/{name}.schema\n" for name in ("core", "cosine", "inetorgperson"))
    return schemas + textwrap.dedent(
        f"""\
        attributetype ( 1.2.840.113556.1.2.210 NAME 'proxyAddresses' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
        modulepath {root}/usr/lib/ldap
        moduleload back_mdb
        moduleload memberof
        pidfile {directory}/slapd.pid
        TLSCertificateFile {directory}/cert.pem
        TLSCertificateKeyFile {directory}/key.pem
        security simple_bind=128
        database mdb
        suffix "{BASE}"
        directory {directory}/data
        rootdn "cn=admin,{BASE}"
        rootpw admin
        limits dn.exact="{SERVICE}" size=unlimited
        overlay memberof
        access to attrs=userPassword by anonymous auth by * none
        access to * by dn.exact="{SERVICE}" read by self read by * none
        """
    )


LDIF = f"""\
dn: {BASE}
objectClass: dcObject
objectClass: organization
o: akkaya
dc: akkaya

dn: ou=people,{BASE}
objectClass: organizationalUnit
ou: people

dn: ou=groups,{BASE}
objectClass: organizationalUnit
ou: groups

dn: ou=services,{BASE}
objectClass: organizationalUnit
ou: services

dn: {SERVICE}
objectClass: applicationProcess
objectClass: simpleSecurityObject
cn: relay
userPassword: look me up

dn: uid=cengiz,{PEOPLE}
objectClass: inetOrgPerson
objectClass: extensibleObject
uid: cengiz
cn: Cengiz
sn: Akkaya
mail: cengiz@akkaya.local
proxyAddresses: SMTP:cengiz@akkaya.local
proxyAddresses: smtp:info@akkaya.local
proxyAddresses: X500:/o=akkaya/cn=cengiz
memberOf: cn=Mail Relay,{GROUPS}
memberOf: cn=admins,{PEOPLE}
userPassword: geheim

dn: uid=scanner,{PEOPLE}
objectClass: inetOrgPerson
uid: scanner
cn: Scanner
sn: Scanner
mail: scanner@akkaya.local
userPassword: papier

dn: uid=half,{PEOPLE}
objectClass: inetOrgPerson
uid: half
cn: Half
sn: Half
userPassword: mailless

dn: uid=away,{PEOPLE}
objectClass: referral
objectClass: extensibleObject
uid: away
ref: REFERRAL/uid=away,{PEOPLE}

dn: cn=Mail Relay,{GROUPS}
objectClass: groupOfNames
cn: Mail Relay
member: uid=cengiz,{PEOPLE}

dn: cn=admins,{PEOPLE}
objectClass: groupOfNames
cn: admins
member: uid=cengiz,{PEOPLE}
"""


def pam_stack(directory: Path, service: str, accounts: dict[str, str], program: Program) -> dict[str, str]:
    """A PAM service of our own, with accounts of its own: the environment that gives it to a process, and to nobody else.

    pam_wrapper stands in for the library and reads its services from our directory; behind it is the machine's own PAM.
    """
    program("slapd")  # from the same download
    [wrapper] = UNPACKED.glob("usr/lib/*/libpam_wrapper.so")
    [module] = UNPACKED.glob("usr/lib/*/pam_wrapper/pam_matrix.so")
    libraries, services, passdb = directory / "lib", directory / "pam.d", directory / "passdb"
    libraries.mkdir()
    services.mkdir()
    (libraries / "libpam.so.0").symlink_to(wrapper)
    passdb.write_text("".join(f"{user}:{password}:{service}\n" for user, password in accounts.items()))
    (services / service).write_text(f"auth required {module} passdb={passdb}\naccount required {module} passdb={passdb}\n")
    (services / "broken").write_text(f"auth required {directory}/missing.so\naccount required pam_permit.so\n")
    return {"PAM_WRAPPER": "1", "PAM_WRAPPER_SERVICE_DIR": str(services), "LD_LIBRARY_PATH": str(libraries)}


def tried(listening: socket.socket) -> int:
    """How often a L{silent_server} was connected to since the last question."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            listening.accept()[0].close()
            count += 1
    return count


@contextmanager
def silent_server() -> Iterator[socket.socket]:
    """A listening socket that never says anything."""
    with socket.create_server((LOOPBACK, 0)) as listening:
        listening.settimeout(0)
        yield listening
