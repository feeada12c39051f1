"""Imports point one way: the table of floors, checked against the code.

Also: nothing takes the global reactor when it is imported, nothing uses the parts of twisted.mail that this project replaces, and the
plugin files import nothing that would slow down or break C{twistd --help}.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.programs import ROOT

PACKAGE = ROOT / "twistedrelay"

#: Room: the rooms it may import besides C{values} and C{interfaces}.
FLOORS: dict[str, frozenset[str]] = {
    "values": frozenset(),
    "interfaces": frozenset(),
    "wire": frozenset(),
    "config": frozenset(),
    "tls": frozenset({"config"}),
    "policy": frozenset({"config"}),
    "spool": frozenset(),
    "observe": frozenset(),
    "routing": frozenset({"config", "tls"}),
    "schedule": frozenset(),
    "delivery": frozenset({"wire", "tls"}),
    "dsn": frozenset(),
    "net": frozenset({"wire", "tls", "policy", "config"}),
    "pickup": frozenset({"policy", "config"}),
    "answers": frozenset({"config", "policy", "routing", "tls", "observe", "wire", "net"}),
    "control": frozenset({"config", "answers", "observe"}),
    "relayctl": frozenset({"control.client", "config", "answers"}),
    "panel": frozenset({"control"}),
    "plugins": frozenset({"interfaces"}),
}

#: Modules that may import every room.
EVERYTHING = frozenset({"service", "sending", "receiving", "observing", "applying", "monitor", "patience", "tap"})

#: Modules that import nothing of ours until they are called: twistd imports them to show its help, or before it chose a reactor.
LAZY = frozenset({"tap"})

#: What the lowest rooms do without: no Twisted and no input or output.
PURE = frozenset({"values", "wire"})

REPLACED = (
    "twisted.mail.smtp",
    "twisted.mail.relay",
    "twisted.mail.relaymanager",
    "twisted.mail.protocols",
    "twisted.mail.bounce",
    "twisted.mail.mail",
)

#: Modules whose import installs a reactor.
INSTALLS_REACTOR = ("twisted.internet.reactor", "twisted.internet.task.react", "klein.run", "klein.route")

#: All that a plugin file may import.
PLUGIN_MAY_IMPORT = (
    "__future__",
    "typing",
    "zope.interface",
    "twisted.plugin",
    "twisted.application.service",
    "twisted.cred.strcred",
    "twisted.cred.credentials",
)


def violations(source: str, module: str) -> list[str]:
    """What a module's source does against the rules.

    @param module: its dotted name below C{twistedrelay}: C{"wire.server"}; C{"plugin:name"} for a twistd plugin file.
    """
    tree = ast.parse(source)
    room = module.split(".")[0]
    problems = []
    lazy = _lazy_nodes(tree)
    for node in ast.walk(tree):
        for name in _imported(node, module):
            problems += _of_import(name, room, node in lazy)
    return [f"{module}: {problem}" for problem in problems]


def _of_import(name: str, room: str, lazy: bool) -> list[str]:
    problems = []
    if _within(name, REPLACED):
        problems.append(f"imports {name}, which this project replaces")
    if not lazy and _within(name, INSTALLS_REACTOR):
        problems.append(f"imports {name} at module level")
    if room.startswith("plugin:"):
        if not lazy and not _within(name, PLUGIN_MAY_IMPORT):
            problems.append(f"a plugin file imports {name} at module level")
        return problems
    if room in PURE and _within(name, ("twisted",)):
        problems.append(f"{room} imports {name}: no Twisted here")
    first, _, rest = name.partition(".")
    if first == "twistedrelay" and room in LAZY and not lazy:
        problems.append(f"{room} imports {name} at module level")
    if first == "twistedrelay" and rest and room not in EVERYTHING:
        problems += _of_room(rest, room, lazy)
    return problems


def _of_room(name: str, room: str, lazy: bool) -> list[str]:
    other = name.split(".")[0]
    if room not in FLOORS:
        return [f"{room} is not in the table"]
    allowed = FLOORS[room] | {"values", room, "__version__"}
    if room != "values" or lazy:  # same floor: values may name an interface in a type
        allowed |= {"interfaces"}
    if other in allowed or _within(name, tuple(allowed)):
        return []
    return [f"{room} may not import {name}"]


def _within(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def _imported(node: ast.AST, module: str) -> list[str]:
    """The dotted names that a node imports, each imported name included (C{twisted.internet} and C{twisted.internet.reactor})."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ""
    if node.level:
        package = ["twistedrelay", *module.split(".")][: -node.level]
        base = ".".join([*package, *filter(None, [base])])
    if base == "twistedrelay" or base in {"twisted", "twisted.internet", "twisted.mail", "twisted.internet.task", "klein"}:
        return [f"{base}.{alias.name}" for alias in node.names]
    return [base]


def _lazy_nodes(tree: ast.Module) -> set[ast.AST]:
    """Nodes that do not run when the module is imported: bodies of functions, and blocks for the type checker."""
    lazy: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or (
            isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        ):
            lazy.update(ast.walk(node))
    return lazy


def modules() -> list[tuple[str, Path]]:
    """Every module of the package and every twistd plugin file, with the name L{violations} wants."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts != ("__init__",):
            # A package's own module counts as a module in it, so that relative imports resolve.
            found.append((".".join(parts), path))
    found += [(f"plugin:{path.stem}", path) for path in sorted((ROOT / "twisted/plugins").glob("*.py"))]
    return found


def test_every_import_points_down() -> None:
    """The code keeps to the table."""
    problems = [problem for name, path in modules() for problem in violations(path.read_text(), name)]
    assert problems == []


def test_every_room_is_in_the_table() -> None:
    """A new room must be given its floor."""
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert rooms <= set(FLOORS)


def test_the_table_has_no_circles() -> None:
    """Nothing reaches itself."""

    def reachable(room: str, seen: frozenset[str]) -> bool:
        return any(
            other in seen or reachable(other, seen | {other}) for name in FLOORS.get(room, ()) if (other := name.split(".")[0]) in FLOORS
        )

    assert not [room for room in FLOORS if reachable(room, frozenset({room}))]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("wire.server", "from twistedrelay.policy.rights import Rights"),
        ("wire.server", "import twistedrelay.net.esmtp"),
        ("wire.server", "from twisted.internet import defer"),
        ("values.reply", "from twistedrelay import interfaces"),
        ("policy.realm", "from twistedrelay.spool import writer"),
        ("policy.realm", "from ..spool import writer"),
        ("policy.realm", "def later():\n    from twistedrelay.net import esmtp"),
        ("relayctl.main", "from twistedrelay.control import api"),
        ("spool.writer", "from twisted.internet import reactor"),
        ("spool.writer", "import twisted.internet.reactor"),
        ("spool.writer", "try:\n    from twisted.internet import reactor\nexcept ImportError:\n    raise"),
        ("net.esmtp", "from twisted.mail.smtp import ESMTP"),
        ("net.esmtp", "def later():\n    from twisted.mail import smtp"),
        ("attic.thing", "import twistedrelay.values.reply"),
        ("plugin:twistedrelay_plugin", "from twistedrelay import service"),
        ("plugin:twistedrelay_plugin", "import pydantic"),
        ("tap", "from twistedrelay.service import make_relay"),
    ],
)
def test_the_checker_sees_a_violation(module: str, source: str) -> None:
    """Each rule is enforced: this is what it refuses."""
    assert violations(source, module)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "wire.server",
            "from twistedrelay.values import reply\nfrom twistedrelay.interfaces import IContent\nfrom twistedrelay.wire.grammar import x",
        ),
        ("wire.server", "from .grammar import x"),
        ("policy.realm", "from ..values.reply import Reply"),
        ("spool.writer", "def run():\n    from twisted.internet import reactor"),
        ("spool.writer", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from twisted.internet import reactor"),
        ("relayctl.main", "from twistedrelay.control.client import Client"),
        ("policy.realm", "from twisted.mail.interfaces import IMessageDelivery"),
        ("tap", "def makeService():\n    from twistedrelay.service import make_relay"),
        ("service", "from twistedrelay.net import factory\nfrom twistedrelay.spool import sqlite"),
        ("plugin:twistedrelay_plugin", "from twisted.application.service import ServiceMaker"),
    ],
)
def test_the_checker_lets_the_allowed_pass(module: str, source: str) -> None:
    """No rule refuses what the design says."""
    assert violations(source, module) == []
