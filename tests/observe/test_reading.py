"""How files of the daemon's are opened by others."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from twistedrelay.observe.ledger.file import LedgerFile
from twistedrelay.observe.login_store import read_record
from twistedrelay.observe.reading import address_of


def test_where_there_is_none_yet(tmp_path: Path) -> None:
    assert address_of(str(tmp_path / "x.sqlite")) is None


def test_with_and_without_a_log(tmp_path: Path) -> None:
    file = tmp_path / "a b.sqlite"
    file.touch()
    assert address_of(str(file)) == f"{file.as_uri()}?mode=ro&immutable=1"
    (tmp_path / "a b.sqlite-wal").touch()
    assert address_of(str(file)) == f"{file.as_uri()}?mode=ro"


def test_a_directory_that_may_not_be_looked_into_is_not_an_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Any, **more: Any) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    path = str(tmp_path / "x.sqlite")
    monkeypatch.setattr(os, "stat", denied)
    for read in (address_of, read_record, lambda path: LedgerFile(path).extent()):
        with pytest.raises(sqlite3.OperationalError, match="Permission denied"):
            read(path)
