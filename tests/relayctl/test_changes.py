"""Verbs that change the configuration: in the files where no daemon runs, by it where one does, and beside one that may not write."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from twisted.internet import defer, reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.control.fakes import Schedule, Spool, make_api
from tests.control.test_changing import Applying
from tests.network import PATIENCE
from tests.relayctl.conftest import RELAY_YAML, Relayctl
from twistedrelay.config.edit_write import NotWritable, one_at_a_time
from twistedrelay.config.load import load
from twistedrelay.control import changing
from twistedrelay.control.client import ControlClient, NoDaemon, Refused
from twistedrelay.control.server import ControlService
from twistedrelay.relayctl import changes
from twistedrelay.relayctl.main import cli
from twistedrelay.relayctl.object_verbs import _nested

ADD = ("connector", "add", "Scanners", "--bindings", "0.0.0.0:25", "--remote-ip-ranges", "192.168.7.0/28,192.168.8.1")


def test_the_articles_connector(relayctl: Relayctl, config_file: Path) -> None:
    result = relayctl(*ADD, "--permission-groups", "anonymoususers", "--owner", "scanners, building B", "--expires", "2030-01-31")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == f"It is change 1 of the history; `relayctl --config {config_file} undo 1` takes it back."
    right = ("--user", "NT AUTHORITY\\Anonymous Logon", "--extended-rights", "MS-Exch-SMTP-Accept-Any-Recipient")
    assert relayctl("permission", "add", "scanners", *right).exit_code == 0
    made = load(config_file).receive_connectors["Scanners"]
    assert made.extended_rights == {"Anonymous Logon": ["Accept-Any-Recipient"]}
    assert {(str(entry.range.text), entry.owner, f"{entry.expires}") for entry in made.remote_ip_ranges} == {
        ("192.168.7.0/28", "scanners, building B", "2030-01-31"),
        ("192.168.8.1", "scanners, building B", "2030-01-31"),
    }
    assert config_file.read_text() == RELAY_YAML + 'include: ["connectors.d/*.yaml"]\n'


def test_what_if_shows_the_files_and_does_nothing(relayctl: Relayctl, config_file: Path) -> None:
    result = relayctl("connector", "set", "IP_Relay", "--add-remote-ip-ranges", "10.9.0.0/28", "--max-message-size", "50MB", "--what-if")
    assert result.exit_code == 0
    said = "What if: set receive connector IP_Relay: max_message_size=50MB, remote_ip_ranges+=[10.9.0.0/28]\n--- /"
    assert result.stdout.startswith(said)
    assert "+    max_message_size: 50MB\n" in result.stdout
    assert config_file.read_text() == RELAY_YAML
    assert list((config_file.parent / "state").iterdir()) == []


def test_only_switches_are_true_or_false() -> None:
    asked = {"banner": "true", "enabled": "false", "max_message_size": "50MB"}
    assert _nested("receive_connectors", asked) == {"banner": "true", "enabled": False, "max_message_size": "50MB"}
    assert _nested("send_connectors", {"authentication_credential.username": "true"}) == {"authentication_credential": {"username": "true"}}


def test_what_is_wrong_is_said_at_its_option(relayctl: Relayctl, config_file: Path) -> None:
    result = relayctl("connector", "set", "IP_Relay", "--max-message-size", "50 apples", "--remote-ip-ranges", "10.0.0.0/33")
    assert result.exit_code == 1
    assert "--max-message-size: '50 apples' is no size; allowed: " in result.stderr
    assert "--remote-ip-ranges (remote_ip_ranges[0]): " in result.stderr
    assert result.stderr.endswith("Nothing was changed.\n")
    assert config_file.read_text() == RELAY_YAML


def test_a_conflict_names_the_other_connector(relayctl: Relayctl) -> None:
    result = relayctl(*ADD[:-1], "192.168.1.55", "--permission-groups", "AnonymousUsers")
    assert result.exit_code == 1
    assert "IP_Relay" in result.stderr


def test_keys_are_left_to_their_default_and_items_taken_out(relayctl: Relayctl, config_file: Path) -> None:
    assert relayctl("connector", "set", "Client Frontend", "--remove-auth-mechanism", "basicauthrequiretls").exit_code == 0
    assert relayctl("connector", "set", "IP_Relay", "--unset", "ExtendedRights").exit_code == 0
    assert relayctl("connector", "enable", "old").exit_code == 0
    loaded = load(config_file).receive_connectors
    assert loaded["Client Frontend"].auth_mechanism == ["Tls", "BasicAuth"]
    assert loaded["IP_Relay"].extended_rights == {}
    assert loaded["Old"].enabled


def test_a_port_without_a_connector_is_told(relayctl: Relayctl) -> None:
    result = relayctl("connector", "remove", "Client Frontend")
    assert result.exit_code == 0
    assert "Nobody answers on 0.0.0.0:587 any more" in result.stdout


def test_send_connectors_and_domains(relayctl: Relayctl, config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(config_file.parent)
    (config_file.parent / "secret").write_text("x\n")
    login = ("--smart-host-auth-mechanism", "BasicAuthRequireTLS", "--authentication-credential-username", "relay")
    tls = ("--require-tls", "true", "--tls-auth-level", "domainvalidation", "--tls-domain", "smtp.example")
    made = relayctl(
        *("send-connector", "add", "Provider", "--address-spaces", "*;5", "--smart-hosts", "smtp.example:587"),
        *(*login, *tls, "--authentication-credential-password-file", "secret"),
    )
    assert made.exit_code == 0, made.output
    connector = load(config_file).send_connectors["Provider"]
    assert connector.authentication_credential is not None
    assert connector.authentication_credential.password_file == str(config_file.parent / "secret")
    assert relayctl("send-connector", "disable", "Provider").exit_code == 0
    assert relayctl("send-connector", "remove", "Provider").exit_code == 0
    assert relayctl("domain", "add", "b.example", "--next-hop", "maildir:b").exit_code == 0
    assert json.loads(relayctl("domain", "show", "B.example", "--json").stdout)[0]["next_hop"] == f"maildir:{config_file.parent}/b"
    assert relayctl("domain", "set", "b.example", "--domain-type", "internalrelay", "--unset", "next-hop").exit_code == 0
    rows = json.loads(relayctl("domain", "list", "--json").stdout)
    assert [(row["name"], row["domain_type"], row["default"]) for row in rows] == [
        ("akkaya.local", "Authoritative", True),
        ("b.example", "InternalRelay", False),
    ]
    assert relayctl("domain", "remove", "b.example").exit_code == 0
    assert relayctl("domain", "show", "b.example").exit_code == 1


def test_history_and_undo(relayctl: Relayctl, config_file: Path) -> None:
    relayctl("connector", "disable", "IP_Relay")
    relayctl("connector", "enable", "Old")
    rows = json.loads(relayctl("history", "--json").stdout)
    assert [row["what"] for row in rows] == ["set receive connector IP_Relay: enabled=false", "set receive connector Old: enabled=true"]
    assert "+    enabled: false\n" in relayctl("history", "show", "1").stdout
    assert "+    enabled: false\n" in json.loads(relayctl("history", "show", "1", "--json").stdout)[0]["diff"]
    assert relayctl("history", "--csv").stdout.startswith("id,time,who,what,undoes,undone,files\n")
    assert relayctl("undo", "1", "--what-if").stdout.startswith("What if: undo 1: set receive connector IP_Relay: enabled=false\n")
    assert relayctl("undo", "1").exit_code == 0
    assert relayctl("undo").exit_code == 0
    assert config_file.read_text() == RELAY_YAML
    nothing = relayctl("undo")
    assert (nothing.exit_code, nothing.stderr) == (1, "Error: There is nothing to undo.\n")
    assert relayctl("history", "show", "9").exit_code == 1


def test_what_is_so_already_is_no_change(relayctl: Relayctl, config_file: Path) -> None:
    result = relayctl("permission", "add", "IP_Relay", "--user", "anonymous logon", "--extended-rights", "accept-any-recipient")
    assert (result.exit_code, result.stdout[:18]) == (0, "Nothing to change:")
    assert not (config_file.parent / "state/history").joinpath("00000001.json").exists()


def test_permissions_say_where_they_come_from(relayctl: Relayctl) -> None:
    rows = json.loads(relayctl("permission", "list", "--user", "NT AUTHORITY\\Anonymous Logon", "--json").stdout)
    sources = {(row["identity"], row["extended_right"]): row["source"] for row in rows}
    assert sources["EXCSERVER\\IP_Relay", "ms-Exch-SMTP-Accept-Any-Recipient"] == "extended right"
    assert sources["EXCSERVER\\IP_Relay", "ms-Exch-SMTP-Submit"] == "permission group AnonymousUsers"
    assert not [row for row in rows if row["identity"] == "EXCSERVER\\Client Frontend"]
    users = json.loads(relayctl("permission", "list", "Client Frontend", "--json").stdout)
    assert {row["user"] for row in users} == {"Authenticated Users"}
    refused = relayctl("permission", "remove", "IP_Relay", "--user", "Anonymous Logon", "--extended-rights", "Submit")
    assert refused.exit_code == 1
    assert "those of a permission group go with" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("connector", "set", "Nope", "--comment", "x"), 1, "There are: Default Frontend, Client Frontend, IP_Relay, Old."),
        (("connector", "set", "EXCSERVER\\Nope", "--comment", "x"), 1, "There is no receive connector 'EXCSERVER\\Nope'.\n"),
        (("connector", "show", "EXCSERVER\\Nope"), 1, "There is no receive connector 'EXCSERVER\\Nope'.\n"),
        (("connector", "set", "IP_Relay", "--unset", "Coment"), 1, "There is no parameter 'coment'; did you mean 'comment'?\n"),
        (("connector", "set", "IP_Rely", "--comment", "x"), 1, "Did you mean: IP_Relay?"),
        (("connector", "set", "IP_Relay", "--protocol", "SNMP"), 2, "'SNMP' is unknown; did you mean 'SMTP'?; allowed: SMTP, LMTP"),
        (("connector", "set", "IP_Relay"), 1, "Nothing was said that is to change."),
        (("connector", "set", "IP_Relay", "--owner", "x"), 2, "--owner and --expires are of the ranges"),
        (("connector", "add", "X", "--usage", "internet", "--remote-ip-ranges", "::1"), 2, "Give --bindings"),
        (("permission", "add", "IP_Relay", "--user", "nobody", "--extended-rights", "Submit"), 2, "the principal 'nobody' is unknown"),
        (("permission", "add", "IP_Relay", "--user", "a@b.c", "--extended-rights", "Sumbit"), 2, "did you mean 'Submit'"),
        (("connector", "add", "IP_RELAY", "--bindings", "[::1]:9", "--remote-ip-ranges", "::1"), 1, "There is a receive connector"),
    ],
)
def test_mistakes(relayctl: Relayctl, config_file: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    result = relayctl(*arguments)
    assert (result.exit_code, said in result.stderr) == (code, True), result.stderr
    assert config_file.read_text() == RELAY_YAML


@pytest.mark.parametrize(("uid", "advice"), [(1000, "sudo relayctl"), (0, "findmnt -T /etc/twistedrelay")])
def test_a_directory_that_may_not_be_written(
    relayctl: Relayctl, config_file: Path, monkeypatch: pytest.MonkeyPatch, uid: int, advice: str
) -> None:
    def closed(files: Any) -> None:
        raise NotWritable("/etc/twistedrelay")

    monkeypatch.setattr(changes, "check_rights", closed)
    monkeypatch.setattr(changes.os, "geteuid", lambda: uid)
    result = relayctl("connector", "disable", "IP_Relay")
    assert result.exit_code == 1
    assert "/etc/twistedrelay: you may not write there." in result.stderr
    assert advice in result.stderr


def test_a_daemon_that_cannot_be_asked_is_not_passed_by(relayctl: Relayctl, config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: Any, **__: Any) -> Any:
        raise NoDaemon("You may not use the socket.")

    monkeypatch.setattr(ControlClient, "patch", silent)
    result = relayctl("connector", "disable", "IP_Relay")
    assert result.exit_code == 3
    assert config_file.read_text() == RELAY_YAML


def test_who_is_behind_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_USER", "cengiz")
    assert changes.acting_user() == "cengiz (root)"


class ClosedDaemonTests(TestCase):
    """A daemon that may not write its configuration: relayctl writes, and tells it to reload."""

    timeout = PATIENCE

    def setUp(self) -> None:
        directory = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.file = directory / "relay.yaml"
        path = f"{directory}/s/s"
        self.text = RELAY_YAML.replace("state_directory: state", f"state_directory: state, control_socket: {path}")
        self.file.write_text(self.text)
        self.applying = Applying(str(self.file))
        self.reloads: list[str] = []

        def closed(files: Any) -> None:
            raise NotWritable("/etc/twistedrelay")

        def post(client: ControlClient, target: str, body: Any = None, query: Any = None) -> Any:
            if target != "/v1/reload":
                return real(client, target, body, query)
            self.reloads.append(target)
            if self.refuses:
                raise Refused(409, "the port is taken")
            if self.interrupts:
                raise KeyboardInterrupt
            return {"changes": ["something: changed"]}

        self.refuses = self.interrupts = False
        real = ControlClient.post
        self.patch(changing, "check_rights", closed)
        self.patch(ControlClient, "post", post)
        api = make_api(reactor, Spool(), Schedule(Spool()), config=load(self.file), applying=self.applying)
        service = ControlService(reactor, path, api)  # type: ignore[arg-type]
        service.startService()
        self.addCleanup(service.stopService)

    def relayctl(self, *arguments: str) -> defer.Deferred[Result]:
        return deferToThread(lambda: CliRunner().invoke(cli, ["--config", str(self.file), *arguments]))

    async def test_relayctl_writes_and_the_daemon_reloads(self) -> None:
        result = await self.relayctl("connector", "disable", "IP_Relay")
        assert result.exit_code == 0, result.output
        assert "Changed in the running relay:\n  something: changed\n" in result.stdout
        assert "enabled: false" in self.file.read_text()
        assert (self.reloads, self.applying.done) == (["/v1/reload"], ["abort"])
        assert [row["id"] for row in json.loads((await self.relayctl("history", "--json")).stdout)] == [1]

    async def test_what_if_writes_nothing(self) -> None:
        result = await self.relayctl("connector", "disable", "IP_Relay", "--what-if")
        assert result.exit_code == 0
        assert "It would change in the running relay:\n  something: changed\n" in result.stdout
        assert (self.file.read_text(), self.reloads) == (self.text, [])

    async def test_what_the_daemon_refuses_is_put_back(self) -> None:
        self.refuses = True
        result = await self.relayctl("connector", "disable", "IP_Relay")
        assert result.exit_code == 1
        assert "The daemon did not take it: the port is taken" in result.stderr
        assert self.file.read_text() == self.text
        assert json.loads((await self.relayctl("history", "--json")).stdout) == []

    async def test_an_end_by_the_keyboard_says_where_things_are(self) -> None:
        self.interrupts = True
        result = await self.relayctl("connector", "disable", "IP_Relay")
        assert result.exit_code == 1
        assert "Interrupted: it is written as change 1" in result.stderr
        assert " undo 1`" in result.stderr

    async def test_a_daemon_that_is_gone_meanwhile(self) -> None:
        real, asked = ControlClient.patch, []

        def patch(client: ControlClient, *arguments: Any) -> Any:
            asked.append(arguments)
            if len(asked) > 1:
                raise NoDaemon("No daemon answers.", absent=True)
            return real(client, *arguments)

        self.patch(ControlClient, "patch", patch)
        result = await self.relayctl("connector", "disable", "IP_Relay")
        assert (result.exit_code, result.stderr) == (3, "Error: No daemon answers.\nNothing was changed.\n")

    async def test_two_administrators_at_once(self) -> None:
        """The second one builds on what the first has written meanwhile."""
        real, others = one_at_a_time, ["10.9.0.0/28"]

        @contextlib.contextmanager
        def late(directory: str) -> Iterator[None]:
            while others:
                result = CliRunner().invoke(
                    cli, ["--config", str(self.file), "connector", "set", "IP_Relay", "--add-remote-ip-ranges", others.pop()]
                )
                assert result.exit_code == 0, result.output
            with real(directory):
                yield

        self.patch(changes, "one_at_a_time", late)
        result = await self.relayctl("connector", "set", "IP_Relay", "--add-remote-ip-ranges", "10.8.0.0/28")
        assert result.exit_code == 0, result.output
        ranges = [entry.range.text for entry in load(self.file).receive_connectors["IP_Relay"].remote_ip_ranges]
        assert ranges[-2:] == ["10.9.0.0/28", "10.8.0.0/28"]

    async def test_what_is_wrong_is_said_at_its_option(self) -> None:
        result = await self.relayctl("connector", "set", "IP_Relay", "--tarpit-interval", "5")
        assert result.exit_code == 1
        assert "--tarpit-interval: '5' is no duration; a number needs its unit" in result.stderr
        assert self.file.read_text() == self.text

    async def test_a_daemon_with_another_file_is_not_told_lies(self) -> None:
        other = self.file.with_name("other.yaml")
        other.write_text(self.text)
        result = await deferToThread(lambda: CliRunner().invoke(cli, ["--config", str(other), "connector", "disable", "IP_Relay"]))
        assert result.exit_code == 1
        assert "runs with another file" in result.stderr
        assert other.read_text() == self.text
