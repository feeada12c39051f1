"""What all tests here share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.proof.logins import same_nonce


@pytest.fixture(autouse=True, scope="module")
def _same_nonce() -> Iterator[None]:
    """A SCRAM exchange can be written down before it happens."""
    with same_nonce():
        yield
