"""A file is changed bit by bit: the data is what was wanted, and every line that has nothing to do with it stays."""

from __future__ import annotations

import contextlib
import copy
import difflib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistedrelay.config import nodes
from twistedrelay.config.edit_nodes import parse
from twistedrelay.config.edit_patch import CannotPatch, patched
from twistedrelay.config.edit_text import block, flow, scalar

HAND_WRITTEN = """\
# head
server: {name: E, fqdn: "x", state_directory: state}  # s
receive_connectors:
  A:   # conn A
    bindings: ["0.0.0.0:25"]   # all
    remote_ip_ranges:
      # scanners
      - 192.168.1.55   # one
      - {range: 10.0.0.0/8, owner: "x, y"} # two
      - range: 10.1.0.0/16
        owner: 'z'
    permission_groups:
    - AnonymousUsers
    banner: |
      220 hi

    # commented: out

  B: {bindings: [
       "0.0.0.0:26", # first
       "0.0.0.0:27"  # second
     ], permission_groups: [ Custom ], }

  C:
    bindings: ["0.0.0.0:28"]
    # deeper comment
  D:
# trailing
send_connectors:
  X: {address_spaces: ["*"]}
"""


def data_of(text: str) -> dict[str, Any]:
    """As the loader reads it."""
    found = nodes.read("relay.yaml", text.encode()).data
    assert found is not None
    return found


def change(text: str, how: Callable[[dict[str, Any]], object]) -> tuple[list[str], list[str]]:
    """The lines that go and the lines that come."""
    wanted = copy.deepcopy(data_of(text))
    how(wanted)
    result = patched(text, wanted)
    assert data_of(result) == wanted
    lines = list(difflib.ndiff(text.splitlines(), result.splitlines()))
    return [line[2:] for line in lines if line[0] == "-"], [line[2:] for line in lines if line[0] == "+"]


def receive(data: dict[str, Any], name: str = "A") -> dict[str, Any]:
    found: dict[str, Any] = data["receive_connectors"][name]
    return found


def test_nothing_changes_nothing() -> None:
    assert patched(HAND_WRITTEN, data_of(HAND_WRITTEN)) == HAND_WRITTEN


def test_an_item_is_added_behind_the_others() -> None:
    assert change(HAND_WRITTEN, lambda d: receive(d)["remote_ip_ranges"].append("1.1.1.1")) == ([], ["      - 1.1.1.1"])


def test_an_item_goes_with_its_line() -> None:
    assert change(HAND_WRITTEN, lambda d: receive(d)["remote_ip_ranges"].pop(0)) == (["      - 192.168.1.55   # one"], [])


def test_an_item_of_several_lines_goes_whole() -> None:
    gone = ["      - range: 10.1.0.0/16", "        owner: 'z'"]
    assert change(HAND_WRITTEN, lambda d: receive(d)["remote_ip_ranges"].pop(2)) == (gone, [])


def test_a_list_of_the_key_s_own_indentation() -> None:
    assert change(HAND_WRITTEN, lambda d: receive(d)["permission_groups"].append("Partners")) == ([], ["    - Partners"])


def test_a_value_keeps_the_comment_behind_it() -> None:
    gone, come = change(HAND_WRITTEN, lambda d: receive(d).update(bindings=["127.0.0.1:25"]))
    assert gone == ['    bindings: ["0.0.0.0:25"]   # all']
    assert come == ['    bindings: ["127.0.0.1:25"]   # all']


def test_a_new_key_comes_behind_the_last_one() -> None:
    wanted = data_of(HAND_WRITTEN)
    receive(wanted)["max_message_size"] = "50MB"
    assert "      220 hi\n    max_message_size: 50MB\n\n    # commented: out\n" in patched(HAND_WRITTEN, wanted)


def test_a_block_list_becomes_empty() -> None:
    gone, come = change(HAND_WRITTEN, lambda d: receive(d).update(permission_groups=[]))
    assert (gone, come) == (["    permission_groups:", "    - AnonymousUsers"], ["    permission_groups: []"])


def test_a_text_of_several_lines_becomes_one() -> None:
    assert change(HAND_WRITTEN, lambda d: receive(d).update(banner="220 x"))[1] == ["    banner: 220 x"]


def test_brackets_over_several_lines_keep_their_look() -> None:
    gone, come = change(HAND_WRITTEN, lambda d: receive(d, "B")["bindings"].append("0.0.0.0:29"))
    assert gone == ['       "0.0.0.0:27"  # second']
    assert come == ['       "0.0.0.0:27",  # second', '       "0.0.0.0:29"']


def test_the_first_of_several_in_brackets_goes_with_its_comment() -> None:
    assert change(HAND_WRITTEN, lambda d: receive(d, "B")["bindings"].pop(0)) == (['       "0.0.0.0:26", # first'], [])


def test_a_key_in_braces() -> None:
    gone, come = change(HAND_WRITTEN, lambda d: receive(d, "B").update(enabled="false"))
    assert (gone, come) == (["     ], permission_groups: [ Custom ], }"], ["     ], permission_groups: [ Custom ], enabled: false, }"])


def test_an_object_goes_with_its_own_comments_only() -> None:
    gone, come = change(HAND_WRITTEN, lambda d: d["receive_connectors"].pop("C"))
    assert (gone, come) == (["  C:", '    bindings: ["0.0.0.0:28"]', "    # deeper comment"], [])


def test_an_object_without_keys_gets_one() -> None:
    assert change(HAND_WRITTEN, lambda d: d["receive_connectors"].update(D={"enabled": "false"}))[1] == ["  D: {enabled: false}"]


def test_the_last_object_leaves_a_section_without_value() -> None:
    wanted = data_of(HAND_WRITTEN)
    wanted["send_connectors"] = {}
    result = patched(HAND_WRITTEN, wanted)
    assert result.endswith("\nsend_connectors:\n")
    assert data_of(result)["send_connectors"] is None


def test_a_file_of_braces() -> None:
    text = '{"server": {"name": "E"}, "receive_connectors": {"A": {"enabled": true}}}'
    _, come = change(text, lambda d: receive(d).update(comment="x: y"))
    assert come == ['{"server": {"name": "E"}, "receive_connectors": {"A": {"enabled": true, comment: "x: y"}}}']


def test_a_new_top_level_key_comes_last() -> None:
    wanted = {**data_of("a: b\n# end\n"), "include": ["c.d/*.yaml"]}
    assert patched("a: b\n# end\n", wanted) == 'a: b\n# end\ninclude: ["c.d/*.yaml"]\n'


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("end", [True, False])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_byte_order_mark_and_a_missing_end_are_kept(newline: str, end: bool, mark: str) -> None:
    text = mark + "a:\n  b:\n    - c  # ü\n  d: {e: f}".replace("\n", newline) + (newline if end else "")
    wanted = {"a": {"b": ["c", "new"], "d": {"e": "f"}, "g": "h"}}
    expected = mark + "a:\n  b:\n    - c  # ü\n    - new\n  d: {e: f}\n  g: h".replace("\n", newline) + (newline if end else "")
    assert patched(text, wanted) == expected


def test_an_alias_is_written_out_where_its_object_changes() -> None:
    text = "r:\n  A: &a {x: [v], z: '1'}  # A\n  B: *a\n  C: *a\n"
    wanted = {"r": {"A": {"x": ["v"], "z": "1"}, "B": {"x": ["v", "w"], "z": "1"}, "C": {"x": ["v"], "z": "1"}}}
    assert patched(text, wanted) == "r:\n  A: &a {x: [v], z: '1'}  # A\n  B: {x: [v, w], z: 1}\n  C: *a\n"


def test_aliases_of_what_changes_are_written_out() -> None:
    text = "r:\n  A: {x: &x [y], z: '1'}  # A\n  B: {x: *x}\n"
    wanted = {"r": {"A": {"x": ["w"], "z": "1"}, "B": {"x": ["y"]}}}
    result = patched(text, wanted)
    assert data_of(result) == wanted
    assert "# A" in result


@pytest.mark.parametrize("text", ["? a\n: {b: c}\n", "a:\n  ? b\n  : c\n"])
def test_what_is_written_oddly_is_changed_rightly_or_not_at_all(text: str) -> None:
    wanted = data_of(text)
    wanted["new"] = "x"
    wanted["a"] = {"z": "y"}
    with contextlib.suppress(CannotPatch):
        assert data_of(patched(text, wanted)) == wanted


def test_a_text_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(CannotPatch):
        patched("- a\n", {"a": "b"})


ODD = ["true", "no", "null", "~", "0.0.0.0:25", "[::]:25", "- a", "a: b", "a #b", "*", "&a", " x "]
TEXTS = st.text(max_size=12) | st.sampled_from(ODD)
VALUES = st.recursive(TEXTS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=8)
FILES = st.dictionaries(TEXTS, st.dictionaries(TEXTS, VALUES, max_size=4), min_size=1, max_size=3)


@given(TEXTS)
def test_a_scalar_is_read_as_it_was(text: str) -> None:
    assert data_of(f"a: {scalar(text)}\n") == {"a": text}
    assert data_of(f"a: [x, {scalar(text)}]\n") == {"a": ["x", text]}


@given(FILES)
def test_what_is_written_is_read(data: dict[str, Any]) -> None:
    assert data_of("\n".join(block(data)) + "\n") == data


def written(data: Any, draw: Callable[[st.SearchStrategy[Any]], Any], indent: str = "") -> str:
    """The data in a style by chance, with comments."""
    comment = lambda: draw(st.sampled_from(["", "", "  # c"]))  # noqa: E731
    own = lambda: draw(st.sampled_from(["", "", f"{indent}# own line\n", "\n"]))  # noqa: E731
    if not data or not isinstance(data, dict | list) or draw(st.booleans()):
        return f" {flow(data)}{comment()}\n"
    if isinstance(data, list):
        dash = indent + draw(st.sampled_from(["", "  "])) if indent else "  "
        return f"{comment()}\n" + "".join(f"{own()}{dash}- {flow(item)}{comment()}\n" for item in data)
    inner = indent + "  "
    return f"{comment()}\n" + "".join(f"{own()}{inner}{scalar(key)}:{written(value, draw, inner)}" for key, value in data.items())


@st.composite
def styled_files(draw: Callable[[st.SearchStrategy[Any]], Any]) -> tuple[str, dict[str, Any]]:
    """A text and its data."""
    data = draw(FILES)
    return "".join(f"{scalar(key)}:{written(value, draw)}" for key, value in data.items()), data


@given(styled_files(), st.data())
def test_round_trips(file: tuple[str, dict[str, Any]], draw: st.DataObject) -> None:
    """After any change the data is what was wanted, and the lines of untouched sections are the same."""
    text, data = file
    assert data_of(text) == data
    wanted = copy.deepcopy(data)
    section = draw.draw(st.sampled_from(list(wanted)))
    if wanted[section] and draw.draw(st.booleans()):
        name = draw.draw(st.sampled_from(list(wanted[section])))
        old = wanted[section][name]
        if draw.draw(st.booleans()):
            del wanted[section][name]
        elif isinstance(old, dict) and old and draw.draw(st.booleans()):
            old[draw.draw(TEXTS)] = draw.draw(VALUES)
        elif isinstance(old, list) and draw.draw(st.booleans()):
            wanted[section][name] = [*(item for item in old if draw.draw(st.booleans())), *draw.draw(st.lists(VALUES, max_size=2))]
        else:
            wanted[section][name] = draw.draw(VALUES)
    else:
        wanted[section][draw.draw(TEXTS)] = draw.draw(VALUES)
    result = patched(text, wanted)
    read = data_of(result)
    assert {key: value or {} for key, value in read.items()} == wanted
    before, after = parse(text), parse(result)
    assert before is not None
    assert after is not None
    for (key, old_value), (new_key, new_value) in zip(before.entries, after.entries, strict=True):
        if key.text != section:
            assert text[key.start : old_value.end] == result[new_key.start : new_value.end]
    kept = set(text.splitlines()) - set(result.splitlines())
    assert not [line for line in kept if line.startswith("#")], "a comment of the top level is gone"
