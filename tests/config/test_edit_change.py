"""A change that is cut short at any step: the configuration loads, and files and history agree."""

from __future__ import annotations

import datetime
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from twistedrelay.config import edit_write, replace
from twistedrelay.config.edit import EditError
from twistedrelay.config.edit_change import settle, undoing, wished, write
from twistedrelay.config.edit_request import Wish
from twistedrelay.config.history import History
from twistedrelay.config.load import load

NOW = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)
SERVER = """# ours
server: {name: EXCSERVER, fqdn: relay.example.org, state_directory: state}
receive_connectors:
  A: {bindings: ["127.0.0.1:2525"], permission_groups: [AnonymousUsers]}
accepted_domains: {example.org: {domain_type: Authoritative, next_hop: "maildir:mail"}}
"""
NEW = Wish(
    "receive_connectors",
    "B",
    "add",
    {"bindings": ["127.0.0.1:2525"], "remote_ip_ranges": ["127.0.0.2"], "permission_groups": ["AnonymousUsers"]},
)


class PowerLoss(BaseException):
    """Nothing runs any more, neither C{except OSError} nor what comes behind it."""


class Power:
    """Lets the power fail at one of the steps that are seen from outside."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = -1
        for module, name in ((os, "replace"), (os, "unlink"), (os, "mkdir"), (os, "fsync"), (os, "open")):
            monkeypatch.setattr(module, name, self._guarded(getattr(module, name)))
        monkeypatch.setattr(replace, "discard", lambda temporary: None)
        monkeypatch.setattr(edit_write, "discard", lambda temporary: None)

    def _guarded(self, real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **more: object) -> object:
            if self.left == 0:
                raise PowerLoss
            self.left -= 1
            return real(*arguments, **more)

        return call

    def fails(self, step: int, work: Callable[[], object]) -> bool:
        """Whether it fails before the work is done."""
        self.left = step
        try:
            work()
        except PowerLoss:
            return True
        finally:
            self.left = -1
        return False


def names(main: Path) -> list[str]:
    """The connectors that a daemon would start with."""
    return list(load(str(main)).receive_connectors)


@pytest.mark.parametrize("undo", [False, True])
def test_a_change_that_is_cut_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undo: bool) -> None:
    """What is found at the next start is the configuration before the change, or that behind it, and the history says which."""
    power, seen = Power(monkeypatch), set()
    for step in range(100):
        main = tmp_path / str(step) / "relay.yaml"
        main.parent.mkdir()
        main.write_text(SERVER)
        history = History(str(main.parent / "state"))
        if undo:
            write(wished(str(main), NEW), str(main), history, "root", NOW)
        before = names(main)

        def work(main: Path = main, history: History = history) -> None:
            change = undoing(history, None) if undo else wished(str(main), NEW)
            with edit_write.one_at_a_time(history.directory):
                write(change, str(main), history, "root", NOW)

        cut = power.fails(step, work)
        names(main)  # it loads, whatever is there
        settle(str(main), history)
        made = len(history.entries()) > undo
        assert (names(main) != before) is made, step
        assert history.begun() == []
        assert names(main) == (["A", "B"] if made is not undo else ["A"])
        seen.add(made)
        if not made:
            work()
        assert names(main) == (["A"] if undo else ["A", "B"])
        assert [entry.id for entry in history.entries()] == ([1, 2] if undo else [1])
        if not cut:
            break
    else:
        pytest.fail("it never ends")
    assert seen == {False, True}


def test_what_was_changed_by_hand_since_stays(tmp_path: Path) -> None:
    main = tmp_path / "relay.yaml"
    main.write_text(SERVER)
    history = History(str(tmp_path / "state"))
    history.begin(wished(str(main), NEW).plan, str(main), "root", "add", NOW)
    main.write_text(SERVER + "# by hand\n")
    assert history.entries() == []
    assert not settle(str(main), history)
    assert main.read_text() == SERVER + "# by hand\n"
    assert history.begun() == []


class Disk:
    """Refuses to write, once or from a step on.  What is read or removed is never refused."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = -1
        self.number, self.lasting = 0, False
        for name in ("replace", "mkdir", "fsync", "open"):
            monkeypatch.setattr(os, name, self._guarded(getattr(os, name)))

    def _guarded(self, real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **more: object) -> object:
            refused = self.left == 0
            if self.left > 0 or (refused and not self.lasting):
                self.left -= 1
            if refused:
                raise OSError(self.number, os.strerror(self.number), arguments[0] if isinstance(arguments[0], str) else None)
            return real(*arguments, **more)

        return call


def tree(directory: Path) -> dict[str, bytes]:
    """All files that hold something."""
    return {str(path): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file() and path.stat().st_size}


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO], ids=errno.errorcode.get)
def test_a_disk_that_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, lasting: bool) -> None:
    """Below the history or beside the configuration: the change is refused, says where, and nothing is changed."""
    disk, refused = Disk(monkeypatch), 0
    for step in range(100):
        main = tmp_path / str(step) / "relay.yaml"
        (main.parent / "state").mkdir(parents=True)
        main.write_text(SERVER)
        history, before = History(str(main.parent / "state")), tree(main.parent)
        disk.number, disk.lasting, disk.left = number, lasting, step
        said = ""
        try:
            with edit_write.one_at_a_time(history.directory):
                write(wished(str(main), NEW), str(main), history, "root", NOW)
        except EditError as error:
            said = str(error)
        disk.left = -1
        if said:
            refused += 1
            assert str(main.parent) in said
            assert os.strerror(number) in said or "may not write there" in said
            assert history.entries() == []
            settle(str(main), history)  # what could not be put back while the disk refused
            assert tree(main.parent) == before, step
        else:
            assert names(main) == ["A", "B"]
            assert [entry.id for entry in history.entries()] == [1]
            if step > refused + 3:  # the last steps only make it last
                break
    else:
        pytest.fail("it never ends")
    assert refused > 8


@pytest.mark.parametrize("linked_directory", [False, True])
def test_a_main_file_that_is_a_link(tmp_path: Path, linked_directory: bool) -> None:
    """What it includes counts from the link, as for the loader: a new object is where the relay looks for it, and the link stays."""
    kept, there = tmp_path / "kept", tmp_path / "etc"
    kept.mkdir()
    there.mkdir()
    (kept / "relay.yaml").write_text(SERVER)
    main = there / "relay.yaml"
    main.symlink_to(kept / "relay.yaml")
    if linked_directory:
        (tmp_path / "elsewhere").mkdir()
        (there / "connectors.d").symlink_to(tmp_path / "elsewhere")
    history = History(str(tmp_path / "state"))
    write(wished(str(main), NEW), str(main), history, "root", NOW)
    assert names(main) == ["A", "B"]
    assert main.is_symlink()
    assert (there / "connectors.d/B.yaml").exists()
    write(wished(str(main), Wish("receive_connectors", "B", "set", {"comment": "x"})), str(main), history, "root", NOW)
    assert load(str(main)).receive_connectors["B"].comment == "x"
    write(wished(str(main), Wish("receive_connectors", "B", "remove")), str(main), history, "root", NOW)
    assert names(main) == ["A"]
    assert not (there / "connectors.d/B.yaml").exists()
    for _ in range(3):
        write(undoing(history, None), str(main), history, "root", NOW)
    assert (kept / "relay.yaml").read_text() == SERVER
