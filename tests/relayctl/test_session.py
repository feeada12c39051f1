"""What relayctl does where a daemon does not answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from twistedrelay.control.client import ControlClient, NoDaemon
from twistedrelay.relayctl.session import Session


@pytest.mark.parametrize(("absent", "told"), [(True, ""), (False, "You may not use /run/x. The file answers.\n")])
def test_that_the_file_answers_for_a_daemon_that_runs_is_told_once(
    config_file: Path, capsys: pytest.CaptureFixture[str], absent: bool, told: str
) -> None:
    session = Session(str(config_file))

    def ask(client: ControlClient) -> Any:
        raise NoDaemon("You may not use /run/x.", absent=absent)

    assert session.daemon_or_file(ask, lambda config: config.server.name) == "EXCSERVER"
    assert session.daemon_or_file(ask, lambda config: config.server.name) == "EXCSERVER"
    assert capsys.readouterr() == ("", told)
