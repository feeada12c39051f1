"""The list of quirks names tests that exist."""

from __future__ import annotations

import re

import pytest

from tests.interop.quirks import FROM_KNOWLEDGE, RECORDED, REPORTED
from tests.programs import ROOT


@pytest.mark.parametrize(("client", "what", "place"), [*RECORDED, *REPORTED, *FROM_KNOWLEDGE])
def test_each_quirk_has_a_test(client: str, what: str, place: str) -> None:
    """The file holds the function."""
    file, _, name = place.partition("::")
    assert re.search(rf"def {name}\(", (ROOT / "tests" / file).read_text()), place
