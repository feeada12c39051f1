"""Changes by the API: over a real socket, with real files and a stand-in for what the relay prepares."""

from __future__ import annotations

import json
import os
import pwd
import socket
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from twisted.internet import defer, reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.control.fakes import Schedule, Spool, make_api
from tests.network import PATIENCE
from twistedrelay.answers.check import CHECKS
from twistedrelay.config import edit_write
from twistedrelay.config.edit import EditError
from twistedrelay.config.load import Loaded, load, load_with_places
from twistedrelay.config.schema import Config
from twistedrelay.control import changing
from twistedrelay.control.applying import ApplyError
from twistedrelay.control.client import ON_BEHALF, ControlClient, Refused
from twistedrelay.control.live import Relay
from twistedrelay.control.server import ControlService

WRITTEN = """\
# by hand
server: {name: EXC, fqdn: relay.akkaya.local, state_directory: state}
accepted_domains:
  akkaya.local: {domain_type: ExternalRelay}
receive_connectors:
  Default: {bindings: ['127.0.0.1:2525'], permission_groups: [AnonymousUsers]}  # everybody
send_connectors:
  Internet: {address_spaces: ['*']}
"""


@attrs.define
class Prepared:
    """What was prepared, and what was done with it."""

    loaded: Loaded
    relay: Relay
    done: list[str]
    changes: tuple[str, ...] = ("something: changed",)
    needs_restart: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ("mind the gap",)

    @property
    def config(self) -> Config:
        return self.loaded.config

    def commit(self) -> None:
        self.relay.config = self.config
        self.done.append("commit")

    def abort(self) -> defer.Deferred[None]:
        self.done.append("abort")
        return defer.succeed(None)


class Applying:
    """Prepares by loading."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.relay: Any = None
        self.done: list[str] = []
        self.fails: Exception | None = None
        self.gate: defer.Deferred[None] = defer.succeed(None)
        self.asked = threading.Event()

    def prepare(self, overlay: Mapping[str, bytes | None] = {}) -> defer.Deferred[Prepared]:
        self.asked.set()
        if self.fails is not None:
            return defer.fail(self.fails)
        gate, self.gate = self.gate, defer.succeed(None)
        return gate.addCallback(lambda _: Prepared(load_with_places(self.file, CHECKS, overlay), self.relay, self.done))


class ChangingTests(TestCase):
    """Each test has files and a daemon's control service of its own."""

    timeout = PATIENCE

    def setUp(self) -> None:
        directory = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.directory = Path(os.path.realpath(directory))
        self.main = self.directory / "relay.yaml"
        self.main.write_text(WRITTEN)
        self.applying = Applying(str(self.main))
        api = make_api(reactor, Spool(), Schedule(Spool()), config=load(self.main), applying=self.applying)
        self.applying.relay = api._relay
        service = ControlService(reactor, str(directory / "c" / "s"), api)  # type: ignore[arg-type]
        service.privilegedStartService()
        service.startService()
        self.addCleanup(service.stopService)
        self.client = ControlClient(str(directory / "c" / "s"), {ON_BEHALF: "cengiz"})

    def ask(self, name: str, *arguments: Any) -> defer.Deferred[Any]:
        return deferToThread(getattr(self.client, name), *arguments)

    def add(self, name: str = "IP_Relay", query: Mapping[str, str] | None = None, **values: Any) -> defer.Deferred[Any]:
        there = {"bindings": ["127.0.0.1:2526"], "permission_groups": ["AnonymousUsers"], **values}
        return self.ask("post", "/v1/connectors", {"name": name, "set": there}, query)

    def content(self, file: str) -> str:
        return (self.directory / file).read_text()

    async def test_who_leaves_in_the_middle_leaves_files_and_relay_alike(self) -> None:
        body = json.dumps({"set": {"max_message_size": "50MB"}}).encode()
        head = f"PATCH /v1/connectors/Default HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        gate = self.applying.gate = defer.Deferred()

        def leave() -> None:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(self.client.path)
                connection.sendall(head + body)
                self.applying.asked.wait(PATIENCE)

        await deferToThread(leave)
        await deferLater(reactor, 0.05)
        gate.callback(None)
        while self.applying.done == []:
            await deferLater(reactor, 0.01)
        assert self.applying.done == ["commit"]
        assert "max_message_size: 50MB" in self.content("relay.yaml")
        assert [each["what"] for each in await self.ask("get", "/v1/history")]

    async def test_a_connector_is_made_written_and_in_force(self) -> None:
        made = await self.add(max_message_size="50MB", enabled=True, remote_ip_ranges=["10.0.0.1", {"range": "10.0.0.2", "owner": "x"}])
        assert made["id"] == 1
        assert made["changes"] == ["something: changed"]
        assert made["warnings"] == ["mind the gap"]
        assert made["files"] == [str(self.directory / "connectors.d/IP_Relay.yaml"), str(self.main)]
        user = pwd.getpwuid(os.geteuid()).pw_name
        assert made["who"] == ("cengiz (root)" if user == "root" else user)
        assert self.applying.done == ["commit"]
        assert [each["identity"] for each in await self.ask("get", "/v1/connectors")] == ["EXC\\Default", "EXC\\IP_Relay"]
        assert "max_message_size: 50MB" in self.content("connectors.d/IP_Relay.yaml")
        assert self.content("relay.yaml") == WRITTEN + 'include: ["connectors.d/*.yaml"]\n'
        [entry] = await self.ask("get", "/v1/history")
        assert (entry["id"], entry["who"], entry["undone"]) == (1, made["who"], False)
        assert "+receive_connectors:" in (await self.ask("get", "/v1/history/1"))["diff"]

    async def test_what_if_says_it_and_does_nothing(self) -> None:
        said = await self.add(query={"what_if": "true"})
        assert said["what_if"] is True
        assert said["id"] is None
        assert "+  IP_Relay:" in said["diff"]
        assert self.applying.done == ["abort"]
        assert sorted(os.listdir(self.directory)) == ["c", "relay.yaml"]

    async def test_lists_are_changed_and_keys_left_to_their_default(self) -> None:
        await self.add(remote_ip_ranges=["10.0.0.1"], comment="x")
        changed = {"add": {"remote_ip_ranges": ["10.0.0.2"]}, "remove": {"remote_ip_ranges": ["10.0.0.1"]}, "unset": ["comment"]}
        await self.ask("patch", "/v1/connectors/ip_relay", {**changed, "set": {"tarpit_interval": "1s"}})
        shown = await self.ask("connector", "IP_Relay")
        assert shown["remote_ip_ranges"] == ["10.0.0.2"]
        assert shown["comment"] == ""
        assert shown["tarpit_interval"] == "00:00:01"

    async def test_a_connector_is_disabled_and_removed_and_its_port_is_missed(self) -> None:
        said = await self.ask("post", "/v1/connectors/Default/disable")
        assert said["warnings"][0] == "Nobody answers on 127.0.0.1:2525 any more: no enabled receive connector is bound to it."
        await self.ask("post", "/v1/connectors/Default/enable")
        await self.ask("delete", "/v1/connectors/EXC%5CDefault")
        assert await self.ask("connectors") == []
        assert "receive_connectors:\nsend_connectors:" in self.content("relay.yaml")

    async def test_send_connectors_and_domains(self) -> None:
        credential = {"username": "relay", "password_file": "/nonexistent/secret"}
        values = {"address_spaces": ["x.example"], "smart_hosts": ["127.0.0.1:25"], "authentication_credential": credential}
        error = await self.assertFailure(self.ask("post", "/v1/send-connectors", {"name": "X", "set": values}), Refused)
        assert error.status == 422
        values["authentication_credential"] = {}
        await self.ask("post", "/v1/send-connectors", {"name": "X", "set": values})
        await self.ask("patch", "/v1/send-connectors/x", {"set": {"require_tls": True}})
        assert (await self.ask("get", "/v1/send-connectors/X"))["require_tls"] is True
        assert len(await self.ask("get", "/v1/send-connectors")) == 2
        await self.ask("post", "/v1/domains", {"name": "b.example", "set": {"next_hop": "127.0.0.1:2", "recipients": {"call_ahead": True}}})
        assert (await self.ask("get", "/v1/domains/B.Example."))["recipients"]["call_ahead"] is True
        await self.ask("patch", "/v1/domains/b.example", {"unset": ["recipients"], "set": {"domain_type": "InternalRelay"}})
        shown = await self.ask("get", "/v1/domains/b.example")
        assert (shown["domain_type"], shown["recipients"]) == ("InternalRelay", None)
        await self.ask("delete", "/v1/domains/b.example")
        assert [each["name"] for each in await self.ask("get", "/v1/domains")] == ["akkaya.local"]
        await self.ask("delete", "/v1/send-connectors/X")

    async def test_permissions(self) -> None:
        body = {"connector": "Default", "user": "NT AUTHORITY\\ANONYMOUS LOGON", "extended_rights": ["MS-Exch-SMTP-Accept-Any-Recipient"]}
        await self.ask("post", "/v1/permissions", body)
        [added] = [row for row in await self.ask("get", "/v1/permissions", {"connector": "Default"}) if row["source"] == "extended right"]
        assert added == {
            "identity": "EXC\\Default",
            "user": "Anonymous Logon",
            "extended_right": "ms-Exch-SMTP-Accept-Any-Recipient",
            "source": "extended right",
        }
        again = await self.ask("post", "/v1/permissions", body)
        assert again["files"] == []
        await self.ask("post", "/v1/permissions/remove", body)
        assert self.content("relay.yaml") == WRITTEN
        error = await self.assertFailure(self.ask("post", "/v1/permissions/remove", body), Refused)
        assert "permission list" in str(error)
        error = await self.assertFailure(self.ask("post", "/v1/permissions", {**body, "user": "nobody"}), Refused)
        assert error.status == 422

    async def test_what_is_wrong_is_told_with_its_place_and_changes_nothing(self) -> None:
        error = await self.assertFailure(self.add(bindings=["localhost"], max_message_size="5QB"), Refused)
        assert error.status == 422
        assert {tuple(each["steps"][2:3]) for each in error.findings} == {("bindings",), ("max_message_size",)}
        assert not (self.directory / "state").exists()
        assert self.content("relay.yaml") == WRITTEN

    async def test_bodies_are_checked_by_the_models(self) -> None:
        for body in ({"name": "X", "set": {"bindingss": []}}, {"name": "X", "set": {"bindings": None}}, {"set": {}}, [], {"name": ""}):
            error = await self.assertFailure(self.ask("post", "/v1/connectors", body), Refused)
            assert error.status == 422, body
        error = await self.assertFailure(self.ask("patch", "/v1/connectors/Nope", {"set": {"comment": "x"}}), Refused)
        assert (error.status, "There are: Default" in str(error)) == (404, True)

    async def test_a_relay_that_cannot_take_it_changes_nothing(self) -> None:
        self.applying.fails = ApplyError("127.0.0.1:2526: somebody else listens there")
        error = await self.assertFailure(self.add(), Refused)
        assert (error.status, str(error)) == (409, "127.0.0.1:2526: somebody else listens there.")
        assert self.content("relay.yaml") == WRITTEN

    async def test_a_failed_write_gives_back_what_was_prepared(self) -> None:
        def fail(*_: Any) -> Any:
            raise EditError("the disk is full")

        self.patch(changing.change, "write", fail)
        error = await self.assertFailure(self.add(), Refused)
        assert "the disk is full" in str(error)
        assert self.applying.done == ["abort"]
        assert len(await self.ask("connectors")) == 1

    async def test_a_client_that_hangs_up_ends_no_change_that_was_begun(self) -> None:
        """Files that are written and a relay that does not have them would be the worst."""
        begun, go_on, write = threading.Event(), threading.Event(), changing.change.write

        def slow(*arguments: Any) -> Any:
            begun.set()
            go_on.wait(PATIENCE)
            return write(*arguments)

        def ask() -> None:
            body = json.dumps({"set": {"comment": "changed"}}).encode()
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(self.client.path)
                head = b"PATCH /v1/connectors/Default HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
                connection.sendall(head + body)
                begun.wait(PATIENCE)

        self.patch(changing.change, "write", slow)
        await deferToThread(ask)
        await deferLater(reactor, 0.1)  # which ends what the connection waited for
        go_on.set()
        said = await self.ask("patch", "/v1/connectors/Default", {"set": {"banner": "220 x"}})
        assert said["id"] == 2
        assert self.applying.done == ["commit", "commit"]
        assert "comment: changed" in self.content("relay.yaml")

    async def test_a_daemon_that_may_not_write_says_where(self) -> None:
        def closed(files: Any) -> None:
            raise edit_write.NotWritable("/etc/twistedrelay")

        self.patch(changing, "check_rights", closed)
        error = await self.assertFailure(self.add(), Refused)
        assert error.status == 403
        assert "/etc/twistedrelay" in str(error)
        said = await self.add(query={"what_if": "true"})
        assert (said["writable"], said["directory"]) == (False, "/etc/twistedrelay")

    async def test_undo(self) -> None:
        await self.add()
        said = await self.ask("post", "/v1/history/undo", None, {"what_if": "true"})
        assert "-  IP_Relay:" in said["diff"]
        await self.ask("post", "/v1/history/1/undo")
        assert self.content("relay.yaml") == WRITTEN
        assert not (self.directory / "connectors.d/IP_Relay.yaml").exists()
        assert [each["undone"] for each in await self.ask("get", "/v1/history")] == [True, False]
        for path in ("/v1/history/undo", "/v1/history/7/undo"):
            error = await self.assertFailure(self.ask("post", path), Refused)
            assert error.status == 409
        error = await self.assertFailure(self.ask("get", "/v1/history/x"), Refused)
        assert error.status == 400

    async def test_changes_at_the_same_time_take_turns(self) -> None:
        names = [f"C{number}" for number in range(8)]
        made = await defer.gatherResults([self.add(name, bindings=[f"127.0.0.1:{3000 + n}"]) for n, name in enumerate(names)])
        assert sorted(each["id"] for each in made) == list(range(1, 9))
        assert sorted(load(self.main).receive_connectors) == [*names, "Default"]
        assert self.applying.done == ["commit"] * 8
