"""Tests for L{twistedrelay.config.srs_secret}."""

from __future__ import annotations

from pathlib import Path

import pytest

from twistedrelay.config.problems import ConfigError
from twistedrelay.config.schema import Config, SendConnector, Server
from twistedrelay.config.srs_secret import FILE, srs_secrets


def config(directory: Path, **keys: str) -> Config:
    return Config(
        server=Server(name="S", fqdn="relay.here.example", state_directory=str(directory)),
        send_connectors={"Out": SendConnector(address_spaces=["*"], **keys)},  # type: ignore[arg-type]
    )


def test_made_once_where_it_is_needed(tmp_path: Path) -> None:
    assert srs_secrets(config(tmp_path)) == ()
    assert not (tmp_path / FILE).exists()
    [made] = srs_secrets(config(tmp_path, srs_domain="srs.here.example"))
    assert len(made) == 64
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert srs_secrets(config(tmp_path, srs_domain="srs.here.example")) == (made,)


def test_a_new_one_in_front(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("# changed today\nthe new secret of the relay\n\n  the old secret of the relay \n")
    assert srs_secrets(config(tmp_path, srs_domain="a.example")) == (b"the new secret of the relay", b"the old secret of the relay")


def test_a_short_one(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("secret\n")
    with pytest.raises(ConfigError, match=r"send_connectors.Out.srs_domain: .*shorter than 16 octets"):
        srs_secrets(config(tmp_path, srs_domain="a.example"))


def test_one_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"\xff\xfe secret of the relay")
    with pytest.raises(ConfigError, match="is no text"):
        srs_secrets(config(tmp_path, srs_domain="a.example"))
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).mkdir()
    with pytest.raises(ConfigError, match="Is a directory"):
        srs_secrets(config(tmp_path, srs_domain="a.example"))


def test_its_owner(tmp_path: Path) -> None:
    files: list[Path] = []
    srs_secrets(config(tmp_path, srs_domain="a.example"), files.append)
    assert files == [tmp_path / FILE]
