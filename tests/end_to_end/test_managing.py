"""A relay that is managed while it works: the article's second way, by commands, while mail flows."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Iterator

import pytest
import yaml

from tests.end_to_end.relay import TEST, Relay, article, child_environment
from tests.end_to_end.sink import Sink
from tests.end_to_end.site import Site
from tests.end_to_end.spoken import blocks, commands, same
from tests.network import Dialogue, eventually, free_port, stuffed
from tests.programs import ROOT
from tests.test_docs import sections
from twistedrelay.relayctl.changes import acting_user

pytestmark = pytest.mark.end_to_end

NOBODY = 65534
SCANNER = "127.0.0.2"
OUTSIDE = "user@cozumpark.example"
RELAYED = "someone@example.org"  #: whom the README's scanner writes to


@pytest.fixture
def site() -> Iterator[Site]:
    """The article's relay before its administrator has made IP_Relay."""
    with Sink() as mailbox, Sink() as outside:
        configuration, ports = article(mailbox.hop, outside.hop)
        del configuration["receive_connectors"]["IP_Relay"]
        with Relay(configuration, ports) as relay:
            yield Site(relay, mailbox, outside)


class Flow:
    """Mail that flows all the time, over one connection that stays and many that come and go.

    @ivar taken: how many messages were acknowledged.
    @ivar lost: what happened to connections that should not have ended.
    """

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._end = threading.Event()
        self.taken = 0
        self.lost: list[str] = []
        self._threads = [threading.Thread(target=self._run, args=(stays,)) for stays in (True, False)]

    def _run(self, stays: bool) -> None:
        try:
            while not self._end.is_set():
                with self._relay.dialogue() as session:
                    session.command("EHLO flow")
                    while not self._end.wait(0.02):
                        self._send(session)
                        if not stays:
                            break
                    assert session.command("QUIT").startswith("221")
        except (OSError, EOFError, AssertionError) as error:
            self.lost.append(repr(error))

    def _send(self, session: Dialogue) -> None:
        session.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<user@akkaya.local>\r\nDATA\r\n")
        replies = [session.reply() for _ in range(3)]
        assert [reply[:3] for reply in replies] == ["250", "250", "354"], replies
        session.send(stuffed(TEST))
        assert session.reply().startswith("250")
        self.taken += 1

    def progresses(self) -> None:
        """Wait until more was taken."""
        before = self.taken
        eventually(lambda: self.taken > before + 3 or self.lost, "mail flows")
        assert not self.lost

    def __enter__(self) -> Flow:
        for thread in self._threads:
            thread.start()
        self.progresses()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()


def done(relay: Relay, *arguments: str) -> str:
    """What relayctl says when it has done it."""
    result = relay.relayctl(*arguments)
    assert result.returncode == 0, result.stderr + result.stdout
    return result.stdout


def refused(relay: Relay, *arguments: str) -> str:
    """What relayctl says when it was refused."""
    result = relay.relayctl(*arguments)
    assert result.returncode == 1, result.stdout
    return result.stderr


def asked(relay: Relay) -> str:
    """What a new session of the device is told about a recipient outside."""
    with relay.dialogue(source=SCANNER) as session:
        session.command("EHLO scanner")
        session.command("MAIL FROM:<anything@anywhere.example>")
        return session.command(f"RCPT TO:<{OUTSIDE}>")


def test_ip_relay_comes_and_goes_while_mail_flows(site: Site) -> None:
    relay = site.relay
    written = relay.file.read_text()
    new = ("connector", "add", "IP_Relay", "--bindings", f"127.0.0.1:{relay.port}", "--remote-ip-ranges", SCANNER)
    with Flow(relay) as flow, relay.dialogue(source=SCANNER) as old:
        old.command("EHLO scanner")
        assert asked(relay).startswith("550 5.7.54")

        said = done(relay, *new, "--permission-groups", "AnonymousUsers", "--tarpit-interval", "0s", "--owner", "scanners", "--what-if")
        assert "+  IP_Relay:" in said
        assert "receive connector IP_Relay: added" in said
        assert relay.file.read_text() == written
        assert asked(relay).startswith("550 5.7.54")

        done(relay, *new, "--permission-groups", "AnonymousUsers", "--tarpit-interval", "0s", "--owner", "scanners")
        right = ("--user", "NT AUTHORITY\\Anonymous Logon", "--extended-rights", "MS-Exch-SMTP-Accept-Any-Recipient")
        done(relay, "permission", "add", "IP_Relay", *right)
        assert asked(relay).startswith("250")
        flow.progresses()
        old.command("MAIL FROM:<a@b.example>")
        assert old.command(f"RCPT TO:<{OUTSIDE}>").startswith("550 5.7.54"), "a session in progress keeps its connector"
        relay.submit([OUTSIDE])
        eventually(lambda: [got.recipients for got in site.outside.delivered] == [(OUTSIDE,)], "it is relayed")

        rows = relay.listed("permission", "list", "IP_Relay")
        assert [row["source"] for row in rows if row["extended_right"] == "ms-Exch-SMTP-Accept-Any-Recipient"] == ["extended right"]
        assert f"RCPT TO:<{OUTSIDE}>" in done(relay, "connector", "test", "IP_Relay", "--source-address", SCANNER, "--to", OUTSIDE)

        second = free_port()
        done(relay, "connector", "set", "IP_Relay", "--add-bindings", f"127.0.0.1:{second}", "--max-message-size", "50MB")
        with relay.dialogue(source=SCANNER) as session:
            assert "SIZE 52428800" in session.command("EHLO scanner")
        relay.ports["second"] = second
        with relay.dialogue("second", source=SCANNER) as session:
            assert session.banner.startswith("220")

        said = done(relay, "connector", "remove", "IP_Relay")
        assert f"Nobody answers on 127.0.0.1:{second} any more" in said
        del relay.ports["second"]
        assert asked(relay).startswith("550 5.7.54")
        done(relay, "undo")
        assert asked(relay).startswith("250")
        done(relay, "connector", "remove", "IP_Relay")
        flow.progresses()
    assert flow.lost == []
    eventually(lambda: len(site.mailbox.delivered) == flow.taken, "all that was acknowledged has arrived")
    assert relay.file.read_text() == written + 'include: ["connectors.d/*.yaml"]\n'
    rows = relay.listed("history")
    assert [row["undone"] for row in rows] == [False, False, False, True, False, False]
    assert len({row["who"] for row in rows}) == 1


def test_the_session_in_the_readme(site: Site) -> None:
    """Each line and what it says, as the README has them, while mail flows."""
    relay = site.relay
    section = sections((ROOT / "README.rst").read_text(encoding="utf-8"))["Change it while it works"]
    made, sent, told = blocks(section)
    with Flow(relay) as flow:
        names = {
            f"127.0.0.1:{relay.port}": "0.0.0.0:25",
            SCANNER: "192.168.1.55",
            acting_user(): "root",
            str(relay.directory): "/etc/twistedrelay",
        }
        given = {there: here for here, there in names.items()}

        def play(block: list[str]) -> None:
            for words, shown in commands(block):
                assert words[0] == "relayctl"
                arguments = [given.get(word, word) for word in words[1:]]
                if arguments[0] == "explain":
                    arguments[1:1] = ["--to", f":{relay.port}"]
                result = relay.relayctl(*arguments)
                said = (result.stdout + result.stderr).replace(f"relayctl --config {relay.file} ", "relayctl ")  # the usual place
                assert same(shown, said, names), (words, said)

        play(made)
        with relay.dialogue(source=SCANNER) as session:
            asked = [line for line in sent if not re.match(r"\d{3}[ -]|…", line)]
            assert asked[:4] == ["EHLO scanner", "MAIL FROM:<scanner@akkaya.local>", f"RCPT TO:<{RELAYED}>", "DATA"]
            replies = "\n".join(session.command(line) for line in asked[:4])
            replies += "\n" + session.command("\r\n".join(asked[4:]))
        [number] = re.findall(r"InternalId=(\d+)", replies)
        [shown_number] = re.findall(r"InternalId=(\d+)", "\n".join(sent))
        answers = [line for line in sent if re.match(r"\d{3}[ -]|…", line)]
        assert same(answers, replies, {SCANNER: "192.168.1.55", f"InternalId={number}": f"InternalId={shown_number}"}), replies
        eventually(lambda: [got.recipients for got in site.outside.delivered] == [(RELAYED,)], "it is relayed")
        given[shown_number] = number
        names[f"Message {number} "] = f"Message {shown_number} "
        eventually(lambda: "SEND" in done(relay, "track", number), "it is tracked")
        play(told)
        flow.progresses()
    assert flow.lost == []
    assert (relay.directory / "MSGTRK.LOG").read_text().count("SEND") == 1


def test_what_cannot_be_changes_nothing(site: Site) -> None:
    relay = site.relay
    written = relay.file.read_text()
    taken = relay.ports["submission"]
    with Sink() as other:
        port = other.hop.rpartition(":")[2]
        said = refused(relay, "connector", "set", "Default Frontend", "--add-bindings", f"127.0.0.1:{port}")
        assert "Address already in use" in said
    said = refused(relay, "connector", "set", "Default Frontend", "--max-hop-count", "1000", "--add-bindings", f"127.0.0.1:{taken}")
    assert "--max-hop-count: '1000' is out of range; allowed: 1 to 500" in said
    assert relay.file.read_text() == written
    assert not (relay.state / "history/00000001.json").exists()
    assert asked(relay).startswith("550 5.7.54")


def test_domains_and_send_connectors_change_what_waits(site: Site) -> None:
    relay = site.relay
    with Sink() as branch:
        done(relay, "domain", "add", "branch.example", "--domain-type", "internalrelay", "--next-hop", branch.hop)
        with relay.dialogue() as session:
            session.command("EHLO client")
            session.command("MAIL FROM:<a@b.example>")
            assert session.command("RCPT TO:<user@branch.example>").startswith("250")
            session.command("DATA")
            session.send(stuffed(TEST))
            assert session.reply().startswith("250")
        eventually(lambda: branch.delivered, "it goes to the branch")
        done(relay, "send-connector", "add", "Partner", "--address-spaces", "partner.example", "--smart-hosts", branch.hop)
        done(relay, "domain", "add", "partner.example", "--domain-type", "ExternalRelay")
        with relay.dialogue() as session:
            session.command("EHLO client")
            session.command("MAIL FROM:<a@b.example>")
            assert session.command("RCPT TO:<user@partner.example>").startswith("250")
            session.command("DATA")
            session.send(stuffed(TEST))
            assert session.reply().startswith("250")
        eventually(lambda: len(branch.delivered) == 2, "the partner's mail goes by the new connector")
    files = sorted(str(path.relative_to(relay.directory)) for path in relay.directory.glob("*.d/*.yaml"))
    assert files == ["accepted_domains.d/branch.example.yaml", "accepted_domains.d/partner.example.yaml", "send_connectors.d/Partner.yaml"]
    assert yaml.safe_load(relay.file.read_text())["include"] == ["accepted_domains.d/*.yaml", "send_connectors.d/*.yaml"]
    for number in (3, 2, 1):
        done(relay, "undo", str(number))
    assert list(relay.directory.glob("*.d/*.yaml")) == []
    relay.stop()
    relay.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may start a daemon as somebody else")
def test_root_writes_what_the_daemon_may_only_read() -> None:
    """As the systemd unit has it: the configuration is root's, readable by the relay's group."""
    with Sink() as mailbox, Sink() as outside:
        configuration, ports = article(mailbox.hop, outside.hop)
        del configuration["receive_connectors"]["IP_Relay"]
        relay = Relay(configuration, ports)
        relay.directory.chmod(0o755)
        relay.file.chmod(0o640)
        os.chown(relay.file, 0, NOBODY)
        relay.state.mkdir()
        os.chown(relay.state, NOBODY, NOBODY)
        new = ("connector", "add", "IP_Relay", "--bindings", f"127.0.0.1:{relay.port}", "--remote-ip-ranges", SCANNER)
        done(relay, *new, "--permission-groups", "AnonymousUsers", "--tarpit-interval", "0s")
        command = relay.command()
        command[command.index("-n") : command.index("-n") + 1] = ["-n", f"--uid={NOBODY}", f"--gid={NOBODY}"]
        with relay.log.open("ab") as log:
            environment = {**child_environment(), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT)}
            relay.process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", env=environment)
        try:
            eventually(relay._ready, "it listens")
            right = ("--user", "Anonymous Logon", "--extended-rights", "Accept-Any-Recipient")
            assert asked(relay).startswith("550 5.7.54")
            done(relay, "permission", "add", "IP_Relay", *right)
            assert asked(relay).startswith("250")
            facts = (relay.directory / "connectors.d/IP_Relay.yaml").stat()
            assert (facts.st_uid, facts.st_gid, facts.st_mode & 0o777) == (0, NOBODY, 0o640)
            assert [(row["id"], row["who"]) for row in relay.listed("history")] == [(1, "root"), (2, "root")]
            before = (relay.directory / "connectors.d/IP_Relay.yaml").read_text()
            said = refused(relay, "connector", "set", "IP_Relay", "--add-bindings", "127.0.0.1:1")
            assert "Permission denied" in said
            assert (relay.directory / "connectors.d/IP_Relay.yaml").read_text() == before
            done(relay, "undo")
            assert asked(relay).startswith("550 5.7.54")
        finally:
            relay.close()
