"""C{relayctl undo}: take a change of the configuration back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from twistedrelay.config.edit_change import undoing
from twistedrelay.config.history import History
from twistedrelay.control.client import ControlClient
from twistedrelay.relayctl.changes import About, make
from twistedrelay.relayctl.output import what_if_option
from twistedrelay.relayctl.session import Session, pass_session


@click.command("undo")
@click.argument("id", type=click.IntRange(1, 99999999), required=False)
@what_if_option
@pass_session
def command(session: Session, id: int | None, what_if: bool) -> None:
    """Take change ID of the history back, or the newest one that is neither an undo nor undone.

    Where a file was changed since, it is only done if the two changes are in different lines.
    """
    path = "/v1/history/undo" if id is None else f"/v1/history/{id}/undo"

    def ask(client: ControlClient, query: Mapping[str, str]) -> Any:
        return client.post(path, query=query)

    make(session, ask, lambda file: undoing(History(session.config.server.state_directory), id), About(), what_if)
