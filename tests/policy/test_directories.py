"""Tests for L{twistedrelay.policy.directories}."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.policy.conftest import MakeConfig
from twistedrelay.policy.directories import directory_problems


def found(make_config: MakeConfig, **paths: Path) -> list[str]:
    config = make_config(transport={f"{name}_directory_path": str(path) for name, path in paths.items()})
    return [str(problem) for problem in directory_problems(config)]


def test_good_directories(make_config: MakeConfig, tmp_path: Path) -> None:
    (tmp_path / "pickup").mkdir()
    (tmp_path / "pickup").chmod(0o2770)
    assert found(make_config) == []
    assert found(make_config, pickup=tmp_path / "pickup", replay=tmp_path / "not there yet") == []


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o733, 0o1733, 0o702])
def test_everybody_may_write(make_config: MakeConfig, tmp_path: Path, mode: int) -> None:
    (tmp_path / "replay").mkdir()
    (tmp_path / "replay").chmod(mode)
    (text,) = found(make_config, replay=tmp_path / "replay")
    assert text.startswith("transport.replay_directory_path:") and "everybody may write there" in text


def test_no_directory_and_the_same_twice(make_config: MakeConfig, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "is no directory" in found(make_config, pickup=tmp_path / "file")[0]
    (tmp_path / "link").symlink_to(tmp_path)
    assert "is the pickup directory, too" in found(make_config, pickup=tmp_path, replay=tmp_path / "link")[0]
