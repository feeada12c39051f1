"""Names of connectors in other sections: of send connectors (C{linked_send_connector}), and of receive connectors for webhooks.

Decides whether what is named is there; it looks at the keys as they are written, so that an error elsewhere in a connector does
not hide it.

Source: Set-SendConnector (LinkedReceiveConnector), told from the receive connector's side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from twistedrelay.config.problems import Problem, suggestion

#: What else webhooks may name: where mail comes from that comes by file.
_BY_FILE = ("Pickup", "Replay")


def problems(tree: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the links of a configuration as it is written."""
    yield from _sending(tree)
    yield from _webhooks(tree)


def _sending(tree: Mapping[str, Any]) -> Iterator[Problem]:
    sending: Mapping[str, Any] = tree.get("send_connectors", {})
    linked = set()
    for name, item in tree.get("receive_connectors", {}).items():
        link = item.get("linked_send_connector")
        if not isinstance(link, str) or not link:
            continue
        linked.add(link)
        if link not in sending:
            there = ", ".join(sending) or "none is configured"
            text = f"{link!r} is no send connector{suggestion(link, tuple(sending))}; allowed: {there}"
            yield Problem(("receive_connectors", name, "linked_send_connector"), text)
    for name, item in sending.items():
        if item.get("address_spaces") == [] and name not in linked:
            text = "is empty; allowed: a list such as ['*'] (none is needed where a linked_send_connector names this connector)"
            yield Problem(("send_connectors", name, "address_spaces"), text)


def _webhooks(tree: Mapping[str, Any]) -> Iterator[Problem]:
    known = (*tree.get("receive_connectors", {}), *_BY_FILE)
    for index, item in enumerate(tree.get("webhooks", [])):
        names = item.get("connectors") if isinstance(item, dict) else None
        for place, name in enumerate(names if isinstance(names, list) else ()):
            if isinstance(name, str) and name not in known:
                text = f"{name!r} is no receive connector{suggestion(name, known)}; allowed: {', '.join(known)}"
                yield Problem(("webhooks", index, "connectors", place), text)
