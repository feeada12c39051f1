"""Every seam of L{twistedrelay.interfaces} has a class that fills it, and each such class has what its seam promises."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import pytest
from zope.interface import implementedBy
from zope.interface.interface import InterfaceClass
from zope.interface.verify import verifyClass

import twistedrelay
from twistedrelay import interfaces


def seams() -> list[InterfaceClass]:
    """The interfaces that the module defines."""
    return [value for value in vars(interfaces).values() if isinstance(value, InterfaceClass) and value.__module__ == interfaces.__name__]


def classes() -> Iterator[type]:
    """All classes of the package."""
    for module in pkgutil.walk_packages(twistedrelay.__path__, "twistedrelay."):
        for value in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(value) and value.__module__ == module.name:
                yield value


@pytest.fixture(scope="module")
def implementers() -> list[type]:
    """The classes that fill a seam."""
    return [found for found in classes() if any(seam.implementedBy(found) for seam in seams())]


@pytest.mark.parametrize("seam", seams(), ids=lambda seam: seam.__name__)
def test_a_seam_is_filled_as_it_promises(seam: InterfaceClass, implementers: list[type]) -> None:
    filling = [found for found in implementers if seam in implementedBy(found).flattened()]
    assert filling, f"nothing implements {seam.__name__}"
    for found in filling:
        assert verifyClass(seam, found), found


@pytest.mark.parametrize("seam", seams(), ids=lambda seam: seam.__name__)
def test_all_of_a_seam_is_documented(seam: InterfaceClass) -> None:
    assert seam.getDoc().strip()
    for name in seam.names():
        assert seam[name].getDoc().strip(), f"{seam.__name__}.{name} says nothing"
