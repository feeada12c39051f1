"""Each client by each door: what it sends arrives, octet by octet, and a wrong password is told."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.relay import child_environment
from tests.end_to_end.site import PASSWORD, USER, Site
from tests.interop.clients import CLIENTS, Client, Errand
from tests.network import eventually

#: Port, security and whether to log in, by door.
DOORS = {
    "anonymous": ("relay", "", False),
    "anonymous under TLS": ("relay", "starttls", False),
    "submission": ("submission", "starttls", True),
    "submissions": ("submissions", "tls", True),
}
#: Lines that a careless dot-stuffing, or a careless end of data, would not survive.
BODY = b"first line\r\n.a dot in front\r\n..two\r\n.\r\n\r\nbehind an empty line\r\n"


def send(client: Client, errand: Errand, program: Callable[[str], str]) -> subprocess.CompletedProcess[bytes]:
    """Run a client."""
    found = tuple(program(name) for name in client.needs)
    environment = {**child_environment(), **client.environment}
    return subprocess.run(
        client.command(errand, found), input=client.stdin(errand), capture_output=True, check=False, timeout=120, env=environment
    )


def errand_for(site: Site, door: str, directory: Path, password: str = PASSWORD) -> Errand:
    """A message with a token of its own: the name of its file."""
    port, security, logs_in = DOORS[door]
    token = f"interop-{os.urandom(6).hex()}"
    file = directory / f"{token}.eml"
    file.write_bytes(b"From: <" + USER.encode() + b">\r\nTo: <user@akkaya.local>\r\nSubject: " + token.encode() + b"\r\n\r\n" + BODY)
    recipients = ("user@akkaya.local", "cengiz@gmail.com") if logs_in else ("user@akkaya.local",)
    user, secret = (USER, password) if logs_in else ("", "")
    return Errand(site.relay.ports[port], security, user, secret, USER if logs_in else "a@client.example", recipients, file)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", CLIENTS)
def test_a_message_arrives(shared_site: Site, program: Callable[[str], str], tmp_path: Path, name: str, door: str) -> None:
    """Accepted by the client's own judgement, and delivered unchanged to each recipient."""
    errand = errand_for(shared_site, door, tmp_path)
    done = send(CLIENTS[name], errand, program)
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
    token = f"Subject: {errand.file.stem}\r\n".encode()
    for recipient, sink in zip(errand.recipients, (shared_site.mailbox, shared_site.outside), strict=False):
        found = eventually(lambda sink=sink: [one for one in sink.delivered if token in one.content], f"it arrives for {recipient}")  # type: ignore[misc]
        assert len(found) == 1
        assert found[0].recipients == (recipient,)
        assert found[0].sender == errand.sender
        assert found[0].content.partition(b"\r\n\r\n")[2].rstrip(b"\r\n") == BODY.rstrip(b"\r\n")
        trace = found[0].content.partition(b";")[0]
        assert (b"(version=TLS" in trace) == bool(errand.security)
        assert (b" with ESMTPSA " in trace) == bool(errand.user)


@pytest.mark.parametrize("door", ["submission", "submissions"])
@pytest.mark.parametrize("name", CLIENTS)
def test_a_wrong_password_is_told(shared_site: Site, program: Callable[[str], str], tmp_path: Path, name: str, door: str) -> None:
    """The client fails, and nothing was accepted."""
    errand = errand_for(shared_site, door, tmp_path, password="wrong")
    done = send(CLIENTS[name], errand, program)
    assert done.returncode != 0, (done.stdout + done.stderr).decode(errors="replace")
    token = errand.file.stem.encode()
    assert not [one for one in (*shared_site.mailbox.delivered, *shared_site.outside.delivered) if token in one.content]
