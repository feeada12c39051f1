"""What verbs make of words that are no text, and of daemons that are not as they should be: a message, never a traceback."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.relayctl.conftest import RELAY_YAML, Relayctl
from twistedrelay import __version__
from twistedrelay.control.client import ControlClient, NoDaemon
from twistedrelay.relayctl import output
from twistedrelay.relayctl.main import cli

#: An argument of octets that are no UTF-8, as the shell hands it over.
NO_TEXT = "\udcff"

#: Of each kind of verb one or two.
VERBS = (
    ("status",),
    ("connector", "list"),
    ("connector", "show", "IP_Relay"),
    ("connector", "set", "IP_Relay", "--banner", "220 x"),
    ("permission", "list"),
    ("queue", "show", "a.example"),
    ("queue", "suspend", "--filter", "MessageCount -gt 1", "--yes"),
    ("message", "show", "1"),
    ("message", "list"),
    ("message", "redirect", "1", "--to", "b.example"),
    ("track", "1"),
    ("track", "--export", "-"),
    ("ledger",),
    ("explain", "--from", "192.0.2.1"),
    ("audit",),
    ("diff",),
    ("reload",),
    ("history", "show", "1"),
    ("undo",),
    ("session", "show", "0660E08F74706B04"),
    ("webhook", "test", "Desk"),
    ("safety-net", "resubmit", "--start", "1h"),
    ("top",),
)

Answering = Callable[..., Result]


@pytest.fixture
def answering(config_file: Path) -> Iterator[Answering]:
    """Calls relayctl where something answers each connection to the control socket with the same octets."""
    path = str(config_file.parent / "s")
    config_file.write_text(RELAY_YAML.replace("state_directory: state", f"state_directory: state, control_socket: {path}"))
    octets = b""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            while True:
                connection, _ = listener.accept()
                with connection:
                    if not connection.recv(65536):
                        return
                    connection.sendall(octets)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()

        def call(answer: bytes, *arguments: str) -> Result:
            nonlocal octets
            octets = answer
            return CliRunner().invoke(cli, ["--config", str(config_file), *arguments])

        yield call
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(path)
        thread.join(10)


def of_version(version: str, body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nServer: twistedrelay/%s\r\nContent-Length: %d\r\n\r\n%s" % (status, version.encode(), len(body), body)


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
@pytest.mark.parametrize("body", [b"{}", b"[]", b"null", b'"x"', b"[1]", b"[{}]"])
def test_the_answers_of_another_version(answering: Answering, verb: tuple[str, ...], body: bytes) -> None:
    result = answering(of_version("9.9", body), *verb)
    assert result.exception is None or isinstance(result.exception, SystemExit), verb
    if result.exit_code:
        assert "it is of version 9.9, this is" in result.stderr or "is not understood" in result.stderr or body == b"[]", verb


def test_findings_of_another_version(answering: Answering) -> None:
    for body in (b'{"detail": "no", "findings": 7}', b'{"detail": "no", "findings": [{"what": "x"}]}'):
        result = answering(of_version("9.9", body, b"422 No"), "reload")
        assert result.exit_code == 1
        assert "Restart the daemon, so that it is of this version too" in result.stderr


def test_a_defect_of_this_version_is_not_hidden(answering: Answering) -> None:
    assert isinstance(answering(of_version(__version__, b"{}"), "status").exception, KeyError)


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_another_program_on_the_socket(answering: Answering, verb: tuple[str, ...]) -> None:
    result = answering(b"HTTP/1.1 404 Not Found\r\nServer: other\r\nContent-Length: 2\r\n\r\n{}", *verb)
    assert result.exception is None or isinstance(result.exception, SystemExit), verb
    assert "Another program than twistedrelay answers" in result.stderr
    assert result.exit_code == 3 or "The file answers." in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("connector", "show", NO_TEXT),
        ("connector", "set", NO_TEXT, "--banner", "220 x"),
        ("connector", "set", "IP_Relay", "--comment", NO_TEXT),
        ("permission", "list", NO_TEXT),
        ("queue", "list", "--filter", NO_TEXT),
        ("message", "list", "--from", NO_TEXT),
        ("track", NO_TEXT),
        ("ledger", "--helo", NO_TEXT),
        ("safety-net", "list", "--recipient", NO_TEXT),
        ("webhook", "test", NO_TEXT),
        ("connector", "test", "IP_Relay", "--from", NO_TEXT),
        ("connector", "test", "IP_Relay", "--to", "ü@akkaya.local"),
        ("safety-net", "list", "--limit", "99999999999999999999"),
        ("domain", "add", NO_TEXT, "--next-hop", "a.example"),
    ],
)
def test_what_is_no_text(relayctl: Relayctl, arguments: tuple[str, ...]) -> None:
    """With no daemon at all: what is to be asked is put together first."""
    result = relayctl(*arguments)
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code in (1, 2, 3)
    assert result.stderr


@pytest.mark.parametrize("empty", ["", " "])
@pytest.mark.parametrize(
    "arguments",
    [
        ("message", "remove", "--yes", "--filter"),
        ("message", "suspend", "--yes", "--filter"),
        ("message", "resume", "--what-if", "--filter"),
        ("message", "redirect", "--to", "a.example", "--yes", "--filter"),
        ("message", "export", "--filter"),
        ("message", "list", "--filter"),
        ("message", "list", "--queue"),
        ("message", "list", "--from"),
        ("queue", "suspend", "--yes", "--filter"),
        ("queue", "redirect", "--cancel", "--yes", "--filter"),
        ("queue", "list", "--filter"),
        ("safety-net", "resubmit", "--start", "1h", "--recipient"),
        ("safety-net", "resubmit", "--start", "1h", "--next-hop"),
        ("trace", "--from"),
        ("trace", "--sender"),
        ("trace", "--session"),
        ("ledger", "--without-range"),
        ("ledger", "--require-login"),
        ("ledger", "--helo"),
        ("track", "--sender"),
    ],
    ids=" ".join,
)
def test_an_empty_choice_is_not_everything(relayctl: Relayctl, arguments: tuple[str, ...], empty: str) -> None:
    """As of a script's variable that is not set: all messages would be removed."""
    result = relayctl(*arguments, empty)
    assert result.exit_code == 2, result.output


def test_an_output_that_is_full(relayctl: Relayctl, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(output.click, "echo", full)
    result = relayctl("connector", "list")
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code == 1


@pytest.mark.parametrize(("heard", "said"), [(False, "Nothing was changed."), (True, "It may have been changed all the same")])
def test_whether_a_change_was_made(relayctl: Relayctl, monkeypatch: pytest.MonkeyPatch, heard: bool, said: str) -> None:
    """A daemon that was stopped in the middle makes a change later whose client is long gone."""

    def hung(*arguments: object) -> None:
        raise NoDaemon("timed out", heard=heard)

    monkeypatch.setattr(ControlClient, "_request", hung)
    result = relayctl("connector", "disable", "IP_Relay")
    assert result.exit_code == 3
    assert said in result.stderr
    assert "Nothing was changed." in relayctl("connector", "disable", "IP_Relay", "--what-if").stderr
