"""Tests for L{twistedrelay.policy.resources}: real numbers of this machine, and where they lead."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from twistedrelay.policy import resources
from twistedrelay.policy.resources import FileSystem, Memory, disk_reading, file_system, memory, memory_readings


def test_a_directory_that_is_not_there_yet_is_where_it_will_be(tmp_path: Path) -> None:
    found = file_system(str(tmp_path / "not" / "yet"))
    assert found.path == str(tmp_path)
    assert 0.0 <= found.inodes <= found.used <= 100.0
    assert found.free > 0


def test_the_fullest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    systems = {"/a": FileSystem("/a", 91.0, 5.0, 500), "/b": FileSystem("/b", 95.0, 5.0, 2_000_000)}
    monkeypatch.setattr(resources, "file_system", systems.__getitem__)
    assert disk_reading(systems, 0).value == 95.0  # type: ignore[union-attr]
    reading = disk_reading(systems, 1_000_000)
    assert reading is not None
    assert (reading.value, reading.detail) == (91.0, "/a: 91.0 % used, 0 MB free")


def test_plenty_of_octets_are_no_comfort_without_inodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "file_system", lambda path: FileSystem(path, 99.5, 99.5, 2**40))
    assert disk_reading(["/a"], 1).value == 99.5  # type: ignore[union-attr]


def test_a_file_system_that_cannot_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: str) -> FileSystem:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(resources, "file_system", broken)
    assert disk_reading(["/a"], 0) is None


def test_memory_is_that_of_this_process() -> None:
    found = memory()
    assert 1_000_000 < found.own < found.total
    assert 0 < found.used <= found.total
    assert set(memory_readings()) == {"private_bytes", "system_memory"}


@pytest.mark.parametrize(("own", "above"), [("1000000", "max"), ("max", "1000000"), ("2000000", "1000000"), ("1000000", "2000000")])
def test_a_control_group_with_less_memory_counts(own: str, above: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    group = tmp_path / "mail.slice" / "relay"
    group.mkdir(parents=True)
    for directory, limit in ((group, own), (group.parent, above)):
        (directory / "memory.max").write_text(f"{limit}\n")
        (directory / "memory.current").write_text("900000\n")
        (directory / "memory.stat").write_text("anon 500000\ninactive_file 100000\n")
    monkeypatch.setattr(resources, "_CGROUPS", tmp_path)
    real = Path.read_text

    def read(path: Path) -> str:
        return "0::/mail.slice/relay\n" if str(path) == "/proc/self/cgroup" else real(path)

    monkeypatch.setattr(Path, "read_text", read)
    found = memory()
    assert (found.total, found.used) == (1_000_000, 800_000)


def test_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Memory:
        raise OSError(2, "No such file")

    monkeypatch.setattr(resources, "memory", broken)
    assert memory_readings() == {}
    assert os.path.exists("/proc/self/statm")
