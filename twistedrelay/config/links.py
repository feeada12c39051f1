"""Which receive connectors name a send connector (C{linked_send_connector}), and whether it is there.

Decides what is wrong between the two sections; it looks at the keys as they are written, so that an error elsewhere in a connector does
not hide it.

Source: Set-SendConnector (LinkedReceiveConnector), told from the receive connector's side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from twistedrelay.config.problems import Problem, suggestion


def problems(tree: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the links of a configuration as it is written."""
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
