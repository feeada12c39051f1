"""What the configuration's tests share."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from twistedrelay.config.load import ConfigError, load
from twistedrelay.config.schema import Config

SERVER = """\
server: {name: EXC, fqdn: relay.akkaya.local, state_directory: state}
"""


class Files:
    """A directory with configuration files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.main = directory / "relay.yaml"

    def write(self, text: str, name: str = "relay.yaml") -> Path:
        file = self.directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text), encoding="utf-8")
        return file

    def load(self, text: str) -> Config:
        """Load a file that starts with a good server in its first line."""
        return load(self.write(SERVER + textwrap.dedent(text)))

    def problems(self, text: str, server: str = SERVER) -> list[str]:
        """What is wrong with such a file, without the directory."""
        with pytest.raises(ConfigError) as caught:
            load(self.write(server + textwrap.dedent(text)))
        return str(caught.value).replace(f"{self.directory}/", "").split("\n")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)
