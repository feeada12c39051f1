"""Files and directories: who may read the secrets, and who may change what the relay believes.

Looks at the files themselves: not on the reactor's thread.  What is not there is not looked at.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator

from twistedrelay.answers.audit.case import Case, Findings
from twistedrelay.answers.audit.finding import Severity
from twistedrelay.config.schema import Config

_WRITE = stat.S_IWOTH
_ANY = stat.S_IRWXO

#: Credential checkers that are described by a file of passwords, or of how to ask for them.
_OF_FILES = frozenset({"file", "twistedrelay", "ldap"})


def file_findings(case: Case) -> Findings:
    """All of them, each file once."""
    seen: set[tuple[str, int]] = set()
    for path, bits, code, what, severity in _wanted(case):
        if (path, bits) in seen:
            continue
        seen.add((path, bits))
        try:
            found = os.stat(path)
        except OSError:
            continue
        sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
        if found.st_mode & bits and not (sticky and bits == _WRITE):
            yield case.finding(code, severity, (), f"{what} (mode {stat.S_IMODE(found.st_mode):04o})", _chmod(path, bits), path)


def _chmod(path: str, bits: int) -> str:
    return shlex.join(["chmod", "o-w" if bits == _WRITE else "o-rwx", path])


def _wanted(case: Case) -> Iterator[tuple[str, int, str, str, Severity]]:
    """Path, the bits it must not have, the code, what is wrong then, and how bad that is."""
    config = case.config
    for path in case.places.files:
        text = "everybody on this host may change the configuration, and make an open relay of it"
        yield path, _WRITE, "file-writable", text, Severity.CRITICAL
        yield (
            os.path.dirname(os.path.abspath(path)),
            _WRITE,
            "file-writable",
            f"everybody on this host may replace {path}",
            Severity.CRITICAL,
        )
    if any(description.startswith("memory:") for description in config.credential_checkers):
        for path in case.places.files:
            yield path, _ANY, "file-readable", "everybody on this host may read this file, which holds passwords", Severity.HIGH
    for path in _secrets(config):
        yield path, _ANY, "file-readable", "everybody on this host may read this secret", Severity.HIGH
    state = config.server.state_directory
    yield state, _WRITE, "file-writable", "everybody on this host may put files into the state directory", Severity.HIGH
    for name in ("spool", "logs", "certificates", "acme", "tokens", "history"):
        yield os.path.join(state, name), _WRITE, "file-writable", "everybody on this host may put files there", Severity.HIGH
    yield os.path.join(state, "spool"), _ANY, "file-readable", "everybody on this host may look into the mail that waits", Severity.HIGH
    socket = config.server.control_socket
    text = "everybody on this host may reach the control socket, see the mail and change the relay"
    yield os.path.dirname(socket), _ANY, "control-socket", text, Severity.HIGH


def _secrets(config: Config) -> Iterator[str]:
    yield config.users
    for name in ("login.secret", "srs.secret"):
        yield os.path.join(config.server.state_directory, name)
    for description in config.credential_checkers:
        kind, _, argument = description.partition(":")
        if kind in _OF_FILES:
            yield argument.partition(":")[0]
    yield from filter(None, (domain.recipients.ldap for domain in config.accepted_domains.values() if domain.recipients is not None))
    yield from (hook.secret_file for hook in config.webhooks)
    for item in config.certificates:
        yield item.private_key
    for connector in config.send_connectors.values():
        credential = connector.authentication_credential
        if credential is not None:
            yield from filter(None, [credential.password_file])
            if credential.oauth is not None:
                yield from filter(None, [credential.oauth.client_secret_file, credential.oauth.refresh_token_file])
