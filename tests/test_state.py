"""What the user that the relay runs as must be able to read."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

import pytest

from twistedrelay.state import hidden_code


def _module(path: Path) -> ModuleType:
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    return module


def test_code_that_everybody_can_read_is_no_news(tmp_path: Path) -> None:
    file = tmp_path / "os.py"
    file.touch()
    assert hidden_code(_module(file)) == []


def test_python_in_roots_own_directory_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, seen = tmp_path / "os.py", tmp_path / "relay.py"
    monkeypatch.setattr(os, "access", lambda path, mode: path == str(seen))
    [warning] = hidden_code(_module(hidden), _module(seen))
    assert str(hidden) in warning and str(seen) not in warning
    assert "/usr/bin/python3" in warning
