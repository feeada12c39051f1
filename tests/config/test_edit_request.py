"""Wishes: the keys of the models as parameters, lists with more and less in them, usage types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.config.conftest import SERVER, Files
from twistedrelay.config.edit import EditError, Written
from twistedrelay.config.edit_change import wished
from twistedrelay.config.edit_request import Wish
from twistedrelay.config.keys import NAMED
from twistedrelay.config.load import load
from twistedrelay.config.parameters import parameters, read_texts
from twistedrelay.config.usage_types import USAGE_TYPES

WRITTEN = """\
receive_connectors:
  IP_Relay:
    bindings: ['0.0.0.0:25']
    remote_ip_ranges: [192.168.1.55, {range: 10.0.0.0/8, owner: "scanners"}]
    permission_groups: [AnonymousUsers]
"""


def wish(files: Files, wish: Wish, text: str = WRITTEN) -> str:
    """The lines that come, of the only file that changes."""
    change = wished(str(files.write(SERVER + text)), wish)
    return "".join(line[1:] for line in change.diff.splitlines(keepends=True) if line[:1] == "+" and line[:3] != "+++")


def test_every_key_of_every_model_is_a_parameter() -> None:
    for model in NAMED.values():
        found = list(parameters(model))
        assert {parameter.path[0] for parameter in found} == set(model.model_fields)
        assert len({parameter.option for parameter in found}) == len(found)


@pytest.mark.parametrize(
    ("name", "texts", "value"),
    [
        ("enabled", ["$True"], "true"),
        ("auth_mechanism", ["tls,basicauth", "BasicAuthRequireTLS"], ["Tls", "BasicAuth", "BasicAuthRequireTLS"]),
        ("remote_ip_ranges", ["192.168.1.55, 10.1.2.0/28"], ["192.168.1.55", "10.1.2.0/28"]),
        ("remote_ip_ranges", ["{range: 10.1.2.0/28, owner: 'a, b'}"], [{"range": "10.1.2.0/28", "owner": "a, b"}]),
        ("bindings", ["[::]:25,0.0.0.0:25"], ["[::]:25", "0.0.0.0:25"]),
        ("extended_rights", ["Anonymous Logon=Submit,Accept-Any-Recipient"], {"Anonymous Logon": ["Submit", "Accept-Any-Recipient"]}),
        ("comment", ["$true, a=b"], "$true, a=b"),
        ("protocol_logging_level", ["verbose"], "Verbose"),
    ],
)
def test_texts_become_values(name: str, texts: list[str], value: Any) -> None:
    [parameter] = [each for each in parameters(NAMED["receive_connectors"]) if each.name == name]
    assert read_texts(parameter, texts) == value


def test_values_are_set_and_unset(files: Files) -> None:
    lines = wish(files, Wish("receive_connectors", "ip_relay", set={"max_message_size": "50MB", "comment": "x: y"}))
    assert lines == '    max_message_size: 50MB\n    comment: "x: y"\n'
    text = WRITTEN + "    comment: x\n"
    change = wished(str(files.write(SERVER + text)), Wish("receive_connectors", "IP_Relay", unset=["comment", "banner"]))
    assert "-    comment: x\n" in change.diff
    assert change.what == "set receive connector IP_Relay: unset comment, unset banner"


def test_items_are_added_and_taken_out_however_they_are_written(files: Files) -> None:
    lines = wish(files, Wish("receive_connectors", "IP_Relay", add={"remote_ip_ranges": ["10.1.2.0/28", "192.168.1.55/32"]}))
    assert lines == '    remote_ip_ranges: [192.168.1.55, {range: 10.0.0.0/8, owner: "scanners"}, 10.1.2.0/28]\n'
    lines = wish(files, Wish("receive_connectors", "IP_Relay", remove={"remote_ip_ranges": ["10.0.0.0-10.255.255.255"]}))
    assert lines == "    remote_ip_ranges: [192.168.1.55]\n"


def test_what_is_not_written_begins_with_its_default(files: Files) -> None:
    assert "auth_mechanism: [Tls, BasicAuth]" in wish(files, Wish("receive_connectors", "IP_Relay", add={"auth_mechanism": ["BasicAuth"]}))
    text = "receive_connectors:\n  A: {bindings: ['0.0.0.0:25'], permission_groups: [Custom]}\n"
    lines = wish(files, Wish("receive_connectors", "A", remove={"remote_ip_ranges": ["::/0"]}), text)
    assert "remote_ip_ranges: [0.0.0.0-255.255.255.255]" in lines


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Wish("receive_connectors", "IP_Relay", remove={"remote_ip_ranges": ["10.9.9.9"]}), "10.9.9.9 is not in remote_ip_ranges"),
        (Wish("receive_connectors", "IP_Relay", add={"comment": "x"}), "comment is one value"),
        (Wish("receive_connectors", "IP_Relay", set={"coment": "x"}), "did you mean 'comment'"),
        (Wish("receive_connectors", "IP_Relay"), "Nothing was said"),
        (Wish("receive_connectors", "a\\b", "add"), "must not hold a backslash"),
        (Wish("receive_connectors", "X", "add", {"bindings": ["0.0.0.0:1"]}, usage="Custom"), "remote_ip_ranges must be given"),
        (Wish("receive_connectors", "X", "add", {"remote_ip_ranges": ["::1"]}, usage="Internet"), "bindings must be given"),
        (
            Wish("receive_connectors", "X", "add", {"remote_ip_ranges": ["::1"], "bindings": ["0.0.0.0:1"]}, usage="Client"),
            "bindings cannot be given",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(files: Files, asked: Wish, said: str) -> None:
    with pytest.raises(EditError, match=said):
        wish(files, asked)


@pytest.mark.parametrize("usage", list(USAGE_TYPES))
def test_usage_types_fill_in_what_new_receive_connector_does(files: Files, usage: str) -> None:
    given = {key: ["0.0.0.0:2525"] if key == "bindings" else ["192.168.1.55"] for key in USAGE_TYPES[usage].needs}
    main = files.write(SERVER)
    change = wished(str(main), Wish("receive_connectors", "X", "add", given, usage=usage))
    for path, content in change.plan.after.items():
        assert content is not None
        files.write(content.decode(), path)
    made = load(main).receive_connectors["X"]
    assert made.permission_groups == USAGE_TYPES[usage].values["permission_groups"]
    assert made.auth_mechanism == USAGE_TYPES[usage].values["auth_mechanism"]
    assert made.bindings[0].port == {"Client": 587, "Internal": 25}.get(usage, 2525)


KNOWN = list(parameters(NAMED["receive_connectors"]))
VALUES = {"list": st.lists(st.text(max_size=8), max_size=3), "mapping": st.dictionaries(st.text(max_size=5), st.lists(st.text(max_size=5)))}


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_whatever_is_wished_for_is_written_or_refused(files: Files, data: st.DataObject) -> None:
    main = files.write(SERVER + WRITTEN)
    chosen = data.draw(st.lists(st.sampled_from(KNOWN), max_size=3, unique_by=lambda each: each.name))
    values = {each.name: data.draw(VALUES.get(each.kind, st.text(max_size=10))) for each in chosen}
    lists = {each.name: data.draw(VALUES[each.kind]) for each in KNOWN if each.kind in VALUES and data.draw(st.integers(0, 9)) == 0}
    asked = Wish("receive_connectors", "IP_Relay", "set", values, lists, {}, ["banner"])
    change = wished(str(main), asked)
    for path, content in change.plan.after.items():
        assert content is not None
        Path(path).write_bytes(content)
    written = Written(str(main)).data("receive_connectors", "IP_Relay")
    assert {name: value for name, value in values.items() if name not in lists and value != {}}.items() <= written.items()


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("receive_connectors: {A: [x]}\n", Wish("receive_connectors", "A", set={"comment": "x"})),
        ("receive_connectors: {A: {bindings: {a: b}}}\n", Wish("receive_connectors", "A", add={"bindings": ["x"]})),
        ("receive_connectors: {A: {extended_rights: x}}\n", Wish("receive_connectors", "A", add={"extended_rights": {"x": ["y"]}})),
    ],
)
def test_what_is_written_wrongly_is_no_crash(files: Files, text: str, asked: Wish) -> None:
    with pytest.raises(EditError):
        wish(files, asked, text)


def test_a_wish_reads_well_in_the_history() -> None:
    more, less = {"smart_hosts": ["a:25"]}, {"address_spaces": ["*"]}
    asked = Wish("send_connectors", "Internet", set={"require_tls": "true"}, add=more, remove=less)
    assert asked.words() == 'set send connector Internet: require_tls=true, smart_hosts+=["a:25"], address_spaces-=["*"]'
