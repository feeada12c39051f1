"""Tests for L{twistedrelay.config.nodes} and L{twistedrelay.config.sources}: what is YAML, what is twice, what is included."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import yaml

from twistedrelay.config import nodes
from twistedrelay.config.load import ConfigError, load
from twistedrelay.config.problems import Place

if TYPE_CHECKING:
    from conftest import Files


def read(text: str | bytes) -> nodes.Document:
    return nodes.read("f.yaml", text if isinstance(text, bytes) else text.encode())


def messages(text: str | bytes) -> list[str]:
    return list(map(str, read(text).problems))


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs with PyYAML's C parser and without."""
    found = getattr(yaml, request.param, None)
    if found is None:
        pytest.skip("PyYAML was built without libyaml")
    monkeypatch.setattr(nodes, "_Loader", found)


def test_scalars_stay_as_written() -> None:
    text = "a: no\nb: 10:25\nc: 2027-06-30\nd: 0755\ne: 1e3\nf: ~\ng: null\nh: ''\ni:\nj: 'x'\nk: 0x10\nno: 1\n"
    assert read(text).data == {
        "a": "no", "b": "10:25", "c": "2027-06-30", "d": "0755", "e": "1e3", "f": "~", "g": "null", "h": "", "i": None, "j": "x",
        "k": "0x10", "no": "1",
    }  # fmt: skip


def test_places_are_those_of_keys_and_items() -> None:
    document = read("a:\n  b: >\n    folded\n    text\n  c:\n    - 1\n    - d: 2\n")
    assert document.places == {
        ("a",): Place("f.yaml", 1),
        ("a", "b"): Place("f.yaml", 2),
        ("a", "c"): Place("f.yaml", 5),
        ("a", "c", 0): Place("f.yaml", 6),
        ("a", "c", 1): Place("f.yaml", 7),
        ("a", "c", 1, "d"): Place("f.yaml", 7),
    }


def test_bad_files() -> None:
    assert messages("") == ["f.yaml:1: the file is empty; at least 'server:' is needed"]
    assert messages("# only a comment\n") == ["f.yaml:1: the file is empty; at least 'server:' is needed"]
    assert messages("\n- a\n") == ["f.yaml:2: the file holds a list; allowed: a mapping with keys such as 'server:'"]
    assert messages("hello") == ["f.yaml:1: the file holds a text; allowed: a mapping with keys such as 'server:'"]
    assert messages(b"a: 1\nb: \xff\n") == ["f.yaml:2: octet 0xff is not UTF-8; the file must be UTF-8 text"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: [1, 2]]\nc: 2\n", 2),
        ("a: 1\n\tb: 2\n", 2),
        ("a: 1\n---\nb: 2\n", 2),
        ("a: *x\n", 1),
        ("a: 1\nb: 'x\n", 3),
        ("a: 1\nb: \x07\n", 2),
    ],
)
def test_bad_syntax_has_its_line(text: str, line: int) -> None:
    (message,) = messages(text)
    assert message.startswith(f"f.yaml:{line}: bad YAML: ")


def test_an_unfinished_list_says_where_it_began() -> None:
    (message,) = messages("a: 1\nb: [1,\nc: 2\n")
    assert message.startswith("f.yaml:4: bad YAML: while parsing a flow sequence which began in line 2, ")


def test_a_byte_order_mark_is_no_content() -> None:
    assert read(b"\xef\xbb\xbfa: 1\n").data == {"a": "1"}


def test_duplicate_keys() -> None:
    assert messages("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n") == [
        "f.yaml:4: b.c: the key 'c' is written twice; the first one is in line 3",
        "f.yaml:5: a: the key 'a' is written twice; the first one is in line 1",
    ]


def test_no_tags_merges_or_odd_keys() -> None:
    assert messages("a: !!python/object:os.system x\nb: !mine 1\nd: &x {y: 1}\ne:\n  <<: *x\n? [1]\n: 2\n") == [
        "f.yaml:1: a: the tag 'tag:yaml.org,2002:python/object:os.system' is not supported; leave it out",
        "f.yaml:2: b: the tag '!mine' is not supported; leave it out",
        'f.yaml:5: e."<<": merge keys are not supported; write the entries out',
        "f.yaml:6: a key must be a text",
    ]


def test_aliases_work_and_cannot_explode() -> None:
    assert read("a: &x [1, 2]\nb: *x\n").data == {"a": ["1", "2"], "b": ["1", "2"]}
    bomb = "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    document = read(bomb)
    assert len(document.problems) == 1
    assert "holds too much" in document.problems[0].text
    assert "holds too much" in messages("a: &x [*x]\n")[0]


def test_named_objects_of_several_files_add_up(files: Files) -> None:
    files.write("receive_connectors:\n  B: {bindings: ['0.0.0.0:26'], permission_groups: [None]}\n", "connectors.d/b.yaml")
    files.write("receive_connectors:\n  C: {bindings: ['0.0.0.0:27'], permission_groups: [None]}\n", "connectors.d/c.yaml")
    files.write("nonsense", "connectors.d/c.txt")
    files.write("certificates: [{certificate: b, private_key: b}]\ncredential_checkers: [b]\n", "connectors.d/d.yaml")
    config = files.load("""\
        include: [connectors.d/*.yaml, nothing.d/*.yaml]
        receive_connectors:
          A: {bindings: ['0.0.0.0:25'], permission_groups: [None]}
        certificates: [{certificate: a, private_key: a}]
        credential_checkers: [a]
    """)
    assert list(config.receive_connectors) == ["A", "B", "C"]
    assert [os.path.basename(item.certificate) for item in config.certificates] == ["a", "b"]
    assert os.path.dirname(config.certificates[1].certificate) == str(files.directory / "connectors.d")
    assert config.credential_checkers == ["a", "b"]


def test_names_given_twice_name_both_places(files: Files) -> None:
    files.write("receive_connectors:\n  a: {colour: red}\n  B: {bindings: [x], permission_groups: [None]}\n", "more.yaml")
    problems = files.problems("""\
        include: [more.yaml]
        receive_connectors:
          A: {bindings: ['0.0.0.0:25'], permission_groups: [None]}
    """)
    assert problems == [
        (
            "more.yaml:2: receive_connectors.a: the name 'a' is given twice; the first one is in relay.yaml:4 as 'A' (letter case does not "
            "count)"
        ),
        (
            "more.yaml:3: receive_connectors.B.bindings[0]: 'x' is no binding; allowed: IP address:port, such as 0.0.0.0:25, 192.0.2.1:587 "
            "or [::]:25"
        ),
    ]


def test_errors_in_lists_of_included_files_have_their_line(files: Files) -> None:
    files.write("certificates:\n  - {certificate: a, private_key: a}\n  - {certificate: b}\n", "more.yaml")
    assert files.problems("include: [more.yaml]\ncertificates:\n  - {private_key: c}\n") == [
        "relay.yaml:4: certificates[0].certificate: the key 'certificate' is required",
        "more.yaml:3: certificates[2].private_key: the key 'private_key' is required",
    ]


def test_the_server_is_given_once(files: Files) -> None:
    files.write("server: {name: OTHER}\nusers: a\n", "more.yaml")
    assert files.problems("include: [more.yaml]\nusers: b\n") == [
        "more.yaml:1: server: is given twice; the first one is in relay.yaml:1",
        "more.yaml:2: users: is given twice; the first one is in relay.yaml:3",
    ]


def test_bad_includes(files: Files) -> None:
    files.write("a: ]", "broken.yaml")
    problems = files.problems("include: [absent.yaml,\n  broken.yaml]\n")
    assert problems[0] == f"relay.yaml:2: include[0]: '{files.directory}/absent.yaml' cannot be read: No such file or directory".replace(
        f"{files.directory}/", ""
    )
    assert problems[1].startswith("broken.yaml:1: bad YAML: ")
    assert files.problems("include: more.yaml\n") == [
        "relay.yaml:2: include: must be a list of file names or patterns, such as [connectors.d/*.yaml]"
    ]


def test_an_include_of_itself_is_read_once(files: Files) -> None:
    assert files.load("include: ['*.yaml']\n").server.name == "EXC"


def test_an_unreadable_main_file_is_the_only_problem(files: Files) -> None:
    files.write("server: [\n")
    with pytest.raises(ConfigError) as caught:
        load(files.main)
    assert len(caught.value.problems) == 1
