"""The fixtures of the interoperability tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.end_to_end.relay import Relay, article
from tests.end_to_end.sink import Sink
from tests.end_to_end.site import Site, site

__all__ = ["shared_site", "site"]

USER, PASSWORD = "cengiz@akkaya.local", "secret word"


@pytest.fixture(scope="module")
def shared_site() -> Iterator[Site]:
    """One relay with an account for all tests of a module: each finds its own message by a token in it."""
    with Sink() as mailbox, Sink() as outside:
        configuration, ports = article(mailbox.hop, outside.hop)
        with Relay(configuration, ports) as relay:
            relay.add_user(USER, PASSWORD)
            yield Site(relay, mailbox, outside)
