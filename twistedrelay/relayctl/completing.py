"""What a shell offers at the Tab key: names of the things that there are, behind the server's name as well.

It decides nothing but what is offered.  Whatever goes wrong, nothing is: a shell must not show errors of ours, nor wait for them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import click
from click.shell_completion import CompletionItem

from twistedrelay.answers.queues import without_server
from twistedrelay.control.client import ControlClient
from twistedrelay.relayctl.session import DEFAULT_CONFIG, Session

#: Seconds to wait for a daemon: who pressed the Tab key waits, too.
PATIENCE = 1.5

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _offering(names: Callable[[Session], Iterator[tuple[str, str]]]) -> Complete:
    """What offers names, each with a word about it."""

    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        session = Session(ctx.find_root().params.get("config") or DEFAULT_CONFIG)
        found: list[CompletionItem] = []
        with contextlib.suppress(Exception):
            begun = without_server(incomplete, session.config.server.name)
            server = incomplete[: len(incomplete) - len(begun)]
            for name, about in names(session):
                if name.lower().startswith(begun.lower()):
                    found.append(CompletionItem(server + name, help=about))
        return found

    return complete


def _daemon(session: Session) -> ControlClient:
    session.client.timeout = PATIENCE
    return session.client


def _connectors(session: Session) -> Iterator[tuple[str, str]]:
    for name, connector in session.config.receive_connectors.items():
        yield name, ", ".join(str(binding) for binding in connector.bindings)


def _send_connectors(session: Session) -> Iterator[tuple[str, str]]:
    for name, connector in session.config.send_connectors.items():
        yield name, ", ".join(connector.address_spaces)


def _all_connectors(session: Session) -> Iterator[tuple[str, str]]:
    yield from _connectors(session)
    yield from _send_connectors(session)


def _domains(session: Session) -> Iterator[tuple[str, str]]:
    for name, domain in session.config.accepted_domains.items():
        yield name, str(domain.domain_type)


def _webhooks(session: Session) -> Iterator[tuple[str, str]]:
    from twistedrelay.config.masking import webhook_text  # which knows YAML, and a verb's name must come without it

    for hook in session.config.webhooks:
        yield hook.name, webhook_text(hook.url)


def _users(session: Session) -> Iterator[tuple[str, str]]:
    for user in session.users.list():
        yield user.address, ""


def _queues(session: Session) -> Iterator[tuple[str, str]]:
    for queue in _daemon(session).queues():
        yield queue["identity"].partition("\\")[2], f"{queue['status']}, {queue['message_count']} messages"


def _messages(session: Session) -> Iterator[tuple[str, str]]:
    page: list[dict[str, Any]] = _daemon(session).get("/v1/messages", {"limit": "50"})
    for message in page:
        yield str(message["id"]), f"{message['from_address']}, {message['status']}"


def _sessions(session: Session) -> Iterator[tuple[str, str]]:
    for row in _daemon(session).get("/v1/sessions"):
        yield row["session"], f"{row['peer']} by {row['connector']}"


receive_connectors = _offering(_connectors)
send_connectors = _offering(_send_connectors)
connectors = _offering(_all_connectors)
domains = _offering(_domains)
webhooks = _offering(_webhooks)
users = _offering(_users)
queues = _offering(_queues)
messages = _offering(_messages)
sessions = _offering(_sessions)

#: Of the objects of a section of the configuration.
OBJECTS = {"receive_connectors": receive_connectors, "send_connectors": send_connectors, "accepted_domains": domains}


def identities(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Of queues or messages, whichever the verb is about."""
    about_queues = ctx.parent is not None and ctx.parent.info_name == "queue"
    return (queues if about_queues else messages)(ctx, parameter, incomplete)
