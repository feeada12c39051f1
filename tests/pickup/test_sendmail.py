"""Tests for C{twistedrelay-sendmail}: its options, the message it makes, where it takes it, how it ends."""

from __future__ import annotations

import io
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from twistedrelay.config.load import load
from twistedrelay.config.schema import Config
from twistedrelay.pickup import sendmail, submit
from twistedrelay.pickup.compose import Composed, compose, read_message
from twistedrelay.pickup.letter import readers
from twistedrelay.pickup.lines import LetterError
from twistedrelay.pickup.options import DEFAULT_CONFIG, Options, UsageError, parse
from twistedrelay.pickup.submit import SubmitError, connector, replay_file, to_directory
from twistedrelay.values.address import parse_path

# -- options -----------------------------------------------------------------------------------------------------------------


def options(*arguments: str, name: str = "sendmail", **environment: str) -> Options:
    return parse(name, arguments, environment)


def test_how_programs_call_it() -> None:
    """cron, PHP's mail(), mutt, mail(1), git send-email, logwatch."""
    assert options("-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", "root") == Options(
        "send", DEFAULT_CONFIG, (), True, True, "root", "CronDaemon"
    )
    assert options("-t", "-i", "-fwww@x.org") == Options("send", DEFAULT_CONFIG, (), True, True, "www@x.org")
    assert options("-oem", "-oi", "-f", "me@x.org", "--", "-odd@x.org", "b@x.org").recipients == ("-odd@x.org", "b@x.org")
    assert options("-i", "a@x.org", "-f", "b@x.org", "c@x.org").recipients == ("a@x.org", "c@x.org")
    assert options("-ti").from_headers and options("-ti").ignore_dots
    assert options("-r", "", "a@x.org").sender == "" and options("a@x.org").sender is None
    wishes = options("-N", "success,delay", "-R", "hdrs", "-V", "id 1", "-B8BITMIME", "a@x.org")
    assert (wishes.notify, wishes.parameters) == ("SUCCESS,DELAY", ("RET=HDRS", "ENVID=id 1"))
    many = options(
        "-G", "-U", "-v", "-n", "-m", "-O", "DeliveryMode=b", "-h", "3", "-L", "tag", "-p", "smtp", "-X/dev/null", "-em", "a@x.org"
    )
    assert many == Options("send", DEFAULT_CONFIG, ("a@x.org",))


def test_what_else_it_can_be() -> None:
    assert options("-bs").mode == "smtp" and options("-bp").mode == options(name="/usr/bin/mailq").mode == "queue"
    assert {options("-bi").mode, options("-I").mode, options("-q").mode, options("-q15m").mode} == {"nothing"}
    assert options(name="/usr/bin/newaliases").mode == "nothing" and options("-bm", "a@x.org").mode == "send"
    assert options("--help").mode == "help"


def test_where_the_configuration_is() -> None:
    assert options("--config", "a", RELAYCTL_CONFIG="b").config == options("-C", "a").config == options("--config=a").config == "a"
    assert options(RELAYCTL_CONFIG="b").config == "b"


@pytest.mark.parametrize(
    "arguments", [["-f"], ["-Z"], ["--nonsense"], ["-bd"], ["-bt"], ["-N", "often"], ["-N", "never,delay"], ["-R", "some"]]
)
def test_what_it_does_not_understand(arguments: list[str]) -> None:
    with pytest.raises(UsageError):
        options(*arguments)


# -- the message -------------------------------------------------------------------------------------------------------------


def composed(text: str, *arguments: str) -> Composed:
    return compose(text.encode(), options(*arguments), "akkaya.local")


def test_what_is_missing_is_added() -> None:
    made = composed("Subject: x\n\nhello\n", "-f", "me@x.org", "-F", "My, Name", "root", "a@x.org", "a@x.org")
    assert (str(made.sender), [str(one) for one in made.recipients]) == ("me@x.org", ["root@akkaya.local", "a@x.org"])
    assert re.fullmatch(
        rb'Subject: x\r\nFrom: "My, Name" <me@x.org>\r\nDate: [^\r]+\r\nMessage-ID: <[^>\r]+@akkaya.local>\r\n\r\nhello\r\n', made.content
    )
    assert not made.eight_bit


@pytest.mark.parametrize(
    ("name", "sender", "author"),
    [
        ("Zo\u00eb", "me@x.org", b"=?utf-8?q?Zo=C3=AB?= <me@x.org>"),
        ("Zo\udcff", "me@x.org", b"=?utf-8?b?Wm/vv70=?= <me@x.org>"),
        ("A\r\nBcc: z@x.org", "me@x.org", b'"A??Bcc: z@x.org" <me@x.org>'),
        ("Me", "m\u00eb@x.org", "Me <m\u00eb@x.org>".encode()),
        (" ", '"m e"@x.org', b'"m e"@x.org'),
    ],
)
def test_any_name_makes_a_field(name: str, sender: str, author: bytes) -> None:
    content = composed("Subject: x\n\nhello\n", "-f", sender, "-F", name, "a@x.org").content
    assert content.startswith(b"Subject: x\r\nFrom: " + author + b"\r\nDate: ")


def test_what_is_there_stays() -> None:
    head = "from: a@x.org\nDATE: then\nMessage-Id: <1@x>\nBcc: z@x.org\n"
    assert composed(head + "\nx", "b@x.org").content == b"from: a@x.org\r\nDATE: then\r\nMessage-Id: <1@x>\r\n\r\nx\r\n"


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("just text\nmore: text\n", b"just text\r\nmore: text\r\n"),
        ("\ntext\n", b"text\r\n"),
        ("From me Sun Nov 22\nX: y\n\ntext\n", b"text\r\n"),
        ("X: y\n folded\nno field\n", b"no field\r\n"),
        ("X: y\n", b""),
        ("X: y", b""),
        ("", b""),
        (" indented\n", b" indented\r\n"),
        ("X: y\n\n\ntwo\r\nends\rs", b"\r\ntwo\r\nends\r\ns\r\n"),
    ],
)
def test_where_the_text_begins(text: str, body: bytes) -> None:
    content = composed(text, "a@x.org").content
    head, _, rest = content.partition(b"\r\n\r\n")
    assert rest == body
    assert re.search(rb"^Date: ", head, re.MULTILINE)
    assert (b"X: y" in head) == ("X: y" in text)


def test_recipients_of_the_header() -> None:
    text = "To: a@x.org, Bee <b@x.org>\nCc: c\nBcc: d@x.org\nSubject: x\n\n"
    assert [str(one) for one in composed(text, "-t", "e@x.org").recipients] == [
        *("e@x.org", "a@x.org", "b@x.org", "c@akkaya.local", "d@x.org")
    ]
    assert b"d@x.org" not in composed(text, "-t").content
    again = composed("Resent-To: r@x.org\nResent-Bcc: s@x.org\n" + text, "-t")
    assert [str(one) for one in again.recipients] == ["r@x.org", "s@x.org"] and b"s@x.org" not in again.content


def test_the_null_sender_and_wishes() -> None:
    made = composed("x\n", "-f", "<>", "-N", "never", "-R", "full", "-V", "a+b", "a@x.org")
    assert made.sender.is_null and made.mail == ("RET=FULL", "ENVID=a+2Bb") and made.rcpt == ("NOTIFY=NEVER",)
    assert composed("ü", "a@x.org").eight_bit


@pytest.mark.parametrize(
    "arguments",
    [
        ["-t"],
        ["a b@x.org"],
        ["-f", "a@b@c", "a@x.org"],
        ["<>"],
        ["-f", "a@x.org, b@x.org", "c@x.org"],
        ["-f", "a@x.org\nX-Sender: b@x.org", "c@x.org"],
    ],
)
def test_what_cannot_be_sent(arguments: list[str]) -> None:
    with pytest.raises(LetterError):
        composed("Subject: x\n\n", *arguments)


@pytest.mark.parametrize(
    ("text", "ignore", "read"),
    [
        (b"a\n.\nb\n", False, b"a\n"),
        (b"a\r\n.\r\nb", False, b"a\r\n"),
        (b"a\n.", False, b"a\n"),
        (b"a\n..\n", False, b"a\n..\n"),
        (b".a\n", False, b".a\n"),
        (b".", False, b""),
        (b"a\n.\nb\n", True, b"a\n.\nb\n"),
    ],
)
def test_a_single_dot(text: bytes, ignore: bool, read: bytes) -> None:
    assert read_message(io.BytesIO(text), ignore, 1000) == read


def test_a_message_without_an_end() -> None:
    assert read_message(io.BytesIO(b"x" * 1000), False, 1000) == b"x" * 1000
    assert read_message(io.BytesIO(b"x\n.\n" + b"x" * 1000), False, 1000) == b"x\n"
    with pytest.raises(LetterError, match="larger than 1000 octets"):
        read_message(io.BytesIO(b"x" * 5000), True, 1000)


@pytest.mark.parametrize("name", ["a\nBcc: b@x.org", "a\r\n\r\nx", "\udcfc", "n" * 5000, "J\u00f6rg, Dr.", 'a"b\\c', "<x>"])
@pytest.mark.parametrize("sender", ["me@x.org", "j\u00f6rg@x.org"])
def test_any_full_name_is_one_line(name: str, sender: str) -> None:
    made = composed("Subject: x\n\n", "-F", name, "-f", sender, "a@x.org")
    fields = made.content.split(b"\r\n")
    assert fields[1].startswith(b"From: ") and fields[1].endswith(f"<{sender}>".encode()) and len(fields[1]) < 998
    assert [field.partition(b":")[0] for field in fields[:4]] == [b"Subject", b"From", b"Date", b"Message-ID"]


def test_a_sender_may_have_a_name() -> None:
    assert str(composed("x\n", "-f", "Jo (the one) <jo@x.org>", "a@x.org").sender) == "jo@x.org"
    assert composed("x\n", "-f", "", "a@x.org").sender.is_null


def test_an_argument_may_be_a_list() -> None:
    made = composed("Subject: x\n\n", "a@x.org, B <b@x.org>,c", '"d d"@x.org')
    assert [str(one) for one in made.recipients] == ["a@x.org", "b@x.org", "c@akkaya.local", '"d d"@x.org']


# -- where it goes -----------------------------------------------------------------------------------------------------------


def message(*recipients: str) -> Composed:
    people = [parse_path(one) for one in recipients or ("b@x.org",)]
    return Composed(parse_path("a@x.org"), people, b"Subject: x\r\n\r\ny\r\n", False, ("RET=HDRS",), ("NOTIFY=NEVER",))


def test_a_file_for_the_replay_directory(tmp_path: Path) -> None:
    to_directory(replay_file(message("b@x.org", "c@x.org"), config()), str(tmp_path))
    (made,) = tmp_path.iterdir()
    assert made.suffix == ".eml" and stat.S_IMODE(made.stat().st_mode) == 0o640
    assert made.read_bytes() == (
        b"X-Sender: <a@x.org> RET=HDRS\r\nX-Receiver: <b@x.org> NOTIFY=NEVER\r\nX-Receiver: <c@x.org> NOTIFY=NEVER\r\n"
        b"X-EndOfInjectedXHeaders: 1\r\nSubject: x\r\n\r\ny\r\n"
    )


def test_a_header_is_no_envelope() -> None:
    """A form that lets people write header fields does not let them add recipients."""
    head = "X-Receiver: victim@x.org\nX-Sender: other@x.org\nX-EndOfInjectedXHeaders: 1\nSubject: x\n\n"
    made = composed(head, "-f", "a@x.org", "b@x.org")
    text = replay_file(made, config())
    letter = readers(config())["Replay"].read(text[: text.index(b"\r\n\r\n") + 2], 0.0)
    assert letter.sender.text == "a@x.org" and [one.address.text for one in letter.recipients] == ["b@x.org"]
    assert b"victim" not in letter.header and b"other@" not in letter.header


@pytest.mark.parametrize("text", ['"a b"@x.org', '"a\\"@ b>"@x.org', "a'b@x.org", "ü@x.org", "a=b+c@x.org", "<>"])
def test_any_address_comes_through(text: str) -> None:
    people = [parse_path("b@x.org"), parse_path('"c d"@x.org')]
    made = Composed(parse_path(text.strip("<>")), people, b"S: x\r\n\r\n", False, ("RET=FULL",), ("NOTIFY=NEVER",))
    letter = readers(config())["Replay"].read(replay_file(made, config())[:-2], 0.0)
    assert letter.sender == made.sender and [one.address for one in letter.recipients] == people
    assert letter.parameters.ret == "FULL" and {one.parameters.notify for one in letter.recipients} == {frozenset({"NEVER"})}


@pytest.mark.parametrize(
    ("header", "arguments", "why"),
    [
        ("Received: x\n" * 61, [], "Hop count exceeded"),
        ("", ["-V", "a\nb"], "ENVID"),
        ("", ["-V", "x" * 101], "ENVID"),
        ("X: " + "y" * 5_000_000 + "\n", [], "Header size"),
    ],
)
def test_what_the_relay_would_set_aside_is_refused_at_once(header: str, arguments: list[str], why: str) -> None:
    with pytest.raises(LetterError, match=why):
        replay_file(composed(f"{header}Subject: x\n\n", *arguments, "a@x.org"), config())


def test_nothing_half_written_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(submit.os, "fsync", full)
    with pytest.raises(SubmitError) as caught:
        to_directory(b"text", str(tmp_path))
    assert caught.value.status == os.EX_TEMPFAIL and list(tmp_path.iterdir()) == []


def config(**connectors: dict[str, Any]) -> Config:
    ordinary = {"remote_ip_ranges": ["0.0.0.0/0", "::/0"], "fqdn": "r.x.org", "permission_groups": ["AnonymousUsers"]}
    server = {"name": "E", "fqdn": "r.x.org", "state_directory": "/none"}
    return Config.model_validate({"server": server, "receive_connectors": {name: {**ordinary, **one} for name, one in connectors.items()}})


def test_the_connector_that_lets_this_host_relay() -> None:
    found = config(
        front={"bindings": ["0.0.0.0:25"]},
        users={"bindings": ["0.0.0.0:587"], "permission_groups": ["ExchangeUsers"]},
        tls={"bindings": ["0.0.0.0:465"], "implicit_tls": True},
        devices={
            "bindings": ["0.0.0.0:2525"],
            "remote_ip_ranges": ["127.0.0.0/8", "10.0.0.0/8"],
            "extended_rights": {"Anonymous Logon": ["Accept-Any-Recipient"]},
        },
    )
    assert connector(found) == ("127.0.0.1", 2525)
    assert connector(config(front={"bindings": ["[::]:25"]})) == ("::1", 25)
    assert connector(config(front={"bindings": ["192.0.2.1:25"]})) == ("192.0.2.1", 25)


def test_no_connector_is_for_this_host() -> None:
    for wrong in (
        {"remote_ip_ranges": ["10.0.0.0/8"]},
        {"require_tls": True},
        {"permission_groups": ["ExchangeUsers"]},
        {"enabled": False},
        {"proxy_protocol_from": ["127.0.0.1"]},
        {"protocol": "LMTP"},
    ):
        with pytest.raises(SubmitError) as caught:
            connector(config(front={"bindings": ["0.0.0.0:2525"], **wrong}))
        assert caught.value.status == os.EX_NOPERM


# -- the command -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def relay_file(tmp_path: Path) -> Path:
    (tmp_path / "replay").mkdir()
    given = {
        "server": {"name": "E", "fqdn": "r.x.org", "state_directory": "state"},
        "accepted_domains": {"x.org": {"next_hop": "m.x.org:25"}},
        "transport": {"replay_directory_path": "replay"},
    }
    path = tmp_path / "relay.yaml"
    path.write_text(yaml.safe_dump(given))
    load(path)
    return path


def run(monkeypatch: pytest.MonkeyPatch, relay_file: Path, text: bytes, *arguments: str) -> int:
    class Standard:
        buffer = io.BytesIO(text)

    monkeypatch.setattr(sendmail.sys, "stdin", Standard)
    return sendmail.run("sendmail", ["--config", str(relay_file), *arguments])


@pytest.mark.parametrize(
    ("text", "arguments", "status", "says"),
    [
        (b"x\n", ["a@x.org"], 0, ""),
        (b"To: a@x.org\n\nx\n", ["-t"], 0, ""),
        (b"x\n", [], 64, "nobody to send it to"),
        (b"x\n", ["-bd"], 64, "usage: twistedrelay-sendmail"),
        (b"x\n", ["-t"], 65, "nobody to send it to"),
        (b"x\0\n", ["a@x.org"], 65, "there is a NUL in it"),
        (b"x\n", ["-bp"], 69, "relayctl --config"),
        (b"x\n", ["--config", "/nowhere/relay.yaml", "a@x.org"], 78, "/nowhere/relay.yaml"),
        (b"", ["-q"], 0, ""),
    ],
)
def test_exit_statuses(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    relay_file: Path,
    text: bytes,
    arguments: list[str],
    status: int,
    says: str,
) -> None:
    assert run(monkeypatch, relay_file, text, *arguments) == status
    assert says in capsys.readouterr().err
    assert len(list((relay_file.parent / "replay").iterdir())) == (status == 0 and arguments != ["-q"])


def test_without_a_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], relay_file: Path) -> None:
    monkeypatch.setattr(sendmail.sys, "stdin", None)
    assert sendmail.run("sendmail", ["--config", str(relay_file), "a@x.org"]) == os.EX_USAGE
    assert "is closed" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["geteuid", "getegid"])
def test_with_the_rights_of_somebody_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], relay_file: Path, name: str
) -> None:
    monkeypatch.setattr(sendmail.os, name, lambda: 12345)
    assert run(monkeypatch, relay_file, b"x\n", "a@x.org") == os.EX_NOPERM
    assert "neither setuid nor setgid" in capsys.readouterr().err
