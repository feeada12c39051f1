"""The text that stands for a lane wherever it has to outlive the process: messages parked for it."""

from __future__ import annotations

import json

from twistedrelay.values.route import RouteKey


def lane_name(key: RouteKey) -> str:
    """The name of the lane with a key."""
    return json.dumps(key, ensure_ascii=False, separators=(",", ":"))


def next_hop_of(name: str) -> str:
    """The next hop in a lane's name, as queue views show it; the name itself where it is none of L{lane_name}."""
    try:
        return str(json.loads(name)[1])
    except (ValueError, LookupError, TypeError):
        return name
