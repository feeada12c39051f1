"""C{relayctl webhook}."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from twistedrelay.config.masking import webhook_text
from twistedrelay.relayctl import completing
from twistedrelay.relayctl.groups import Group
from twistedrelay.relayctl.output import format_options, print_rows
from twistedrelay.relayctl.session import Session, pass_session

if TYPE_CHECKING:
    from twistedrelay.config.schema import Config

COLUMNS = ("name", "url", "status", "waiting", "delivered", "failures", "dropped", "last_error")
TEST_COLUMNS = ("name", "taken", "status", "seconds", "answer")


@click.group("webhook", cls=Group)
def command() -> None:
    """Where events are posted to."""


@command.command("list")
@format_options
@pass_session
def list_(session: Session, style: str | None) -> None:
    """List the webhooks with what became of their events; without a daemon, those of the file."""
    rows: list[dict[str, Any]] = session.daemon_or_file(lambda client: client.get("/v1/webhooks"), _of_file)
    print_rows(rows, COLUMNS, style, none="There is no webhook in the configuration.")


def _of_file(config: Config) -> list[dict[str, Any]]:
    keys = ("name", "events", "connectors", "enabled")
    return [
        {**{key: getattr(each, key) for key in keys}, "url": webhook_text(each.url), "status": "" if each.enabled else "disabled"}
        for each in config.webhooks
    ]


@command.command("test")
@click.argument("name", shell_complete=completing.webhooks)
@format_options
@pass_session
@click.pass_context
def test(ctx: click.Context, session: Session, /, name: str, style: str | None) -> None:
    """Let the daemon post a test and show what is answered. Ends with 1 where it is not taken."""
    with session.daemon() as client:
        found = client.post(f"/v1/webhooks/{quote(name, safe='')}/test")
    print_rows([found], TEST_COLUMNS, style)
    ctx.exit(0 if found["taken"] else 1)
