"""The article's relay and its next hops, running."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import pytest

from tests.end_to_end.relay import Relay, article
from tests.end_to_end.sink import Sink

USER, PASSWORD = "cengiz@akkaya.local", "secret word"


@attrs.frozen
class Site:
    """A relay with a mailbox server for akkaya.local behind it, and the outside world behind its send connector."""

    relay: Relay
    mailbox: Sink
    outside: Sink


@pytest.fixture
def site() -> Iterator[Site]:
    """A running L{Site}."""
    with Sink() as mailbox, Sink() as outside:
        configuration, ports = article(mailbox.hop, outside.hop)
        with Relay(configuration, ports) as relay:
            yield Site(relay, mailbox, outside)


@pytest.fixture(scope="module")
def shared_site() -> Iterator[Site]:
    """One L{Site} for all tests of a module, with the account L{USER}: each finds its own message by a token in it."""
    with Sink() as mailbox, Sink() as outside:
        configuration, ports = article(mailbox.hop, outside.hop)
        with Relay(configuration, ports) as relay:
            relay.add_user(USER, PASSWORD)
            yield Site(relay, mailbox, outside)
