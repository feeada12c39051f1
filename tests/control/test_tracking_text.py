"""Pages of tracking as text, which is made event by event."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.control.fakes import make_config
from tests.network import PATIENCE
from tests.observe.tracking.world import UNKNOWN, World
from twistedrelay.answers.tracking import shown_page
from twistedrelay.control.resources.tracking import page_text
from twistedrelay.control.tracking_models import TrackingPage
from twistedrelay.observe.tracking.query import TrackingQuery


class PageTextTests(TestCase):
    timeout = PATIENCE

    async def test_an_answer_in_pieces_is_one_page(self) -> None:
        world = World(Path(self.enterContext(tempfile.TemporaryDirectory())) / "tracking")
        world.tried(world.received("u@customer.example"))
        world.tried(world.received("nobody@customer.example"), UNKNOWN)
        found = await world.sink.find(TrackingQuery(), 3, "", True)
        shown = shown_page(found, make_config())
        assert len(shown["events"]) == 3
        assert json.loads(page_text(shown)) == TrackingPage.model_validate(shown).model_dump(mode="json")


def test_a_page_without_events() -> None:
    nothing = {"events": [], "next": "", "problems": ["x: no such file"]}
    assert json.loads(page_text(nothing)) == nothing
