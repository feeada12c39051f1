"""What service events are about: each code that webhooks can ask for is said by somebody."""

from __future__ import annotations

import ast

import pytest

from tests.programs import ROOT
from twistedrelay.values.events import SERVICE_CODES


def said() -> set[str]:
    """The codes of all service events that are made anywhere."""
    found = set()
    for file in (ROOT / "twistedrelay").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "ServiceEvent":
                given = [*node.args[2:], *(keyword.value for keyword in node.keywords if keyword.arg == "code")]
                found |= {each.value for each in given if isinstance(each, ast.Constant)}
    return found


@pytest.fixture(scope="module")
def codes() -> set[str]:
    return said()


@pytest.mark.parametrize("code", SERVICE_CODES)
def test_a_code_that_can_be_asked_for_is_said_by_somebody(code: str, codes: set[str]) -> None:
    assert code in codes


def test_what_is_said_can_be_asked_for(codes: set[str]) -> None:
    assert codes <= set(SERVICE_CODES)
