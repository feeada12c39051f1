"""What a configuration says about its receive connectors, in Exchange's terms.

It decides how a connector's parameters read: the property names are Get-ReceiveConnector's in snake_case,
durations are time spans C{dd.hh:mm:ss}, sizes are octets, C{unlimited} is a word.  It never looks at a running relay.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twistedrelay.config.problems import names_advice
from twistedrelay.config.schema import Config, RemoteRange


class UnknownConnector(Exception):
    """No connector of that kind has that name.

    @ivar advice: which could be meant.
    """

    def __init__(self, name: str, advice: str, kind: str = "receive") -> None:
        super().__init__(f"There is no {kind if ' ' in kind else f'{kind} connector'} '{name}'.")
        self.advice = advice


def find_connector(config: Config, name: str) -> str:
    """The name, as configured, that is meant by C{Name} or C{SERVER\\Name}; case does not count.

    @raise UnknownConnector: there is none.
    """
    return find_name(config.receive_connectors, config.server.name, name, "receive")


def find_name(known: Iterable[str], server_name: str, name: str, kind: str) -> str:
    """The same among given names; C{kind} is C{"receive"}, C{"send"} or another kind of object in words."""
    names = {one.lower(): one for one in known}
    wanted = name.lower()
    server, separator, rest = wanted.partition("\\")
    if wanted in names:
        return names[wanted]
    if separator and server == server_name.lower() and rest in names:
        return names[rest]
    raise UnknownConnector(name, names_advice(rest or wanted, names.values()), kind)


def identity(config: Config, name: str) -> str:
    """C{SERVER\\Name}."""
    return f"{config.server.name}\\{name}"


def time_span(seconds: float) -> str:
    """C{00:05:00}, C{2.00:00:00}: Exchange's time spans."""
    whole = int(seconds)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    fraction = f".{round((seconds - whole) * 1e7):07d}" if seconds != whole else ""
    return f"{f'{days}.' if days else ''}{hour:02d}:{minute:02d}:{second:02d}{fraction}"


def _range(entry: RemoteRange) -> str | dict[str, Any]:
    if not entry.owner and entry.expires is None and not entry.shared:
        return entry.range.text
    shown: dict[str, Any] = {"range": entry.range.text}
    if entry.owner:
        shown["owner"] = entry.owner
    if entry.expires is not None:
        shown["expires"] = entry.expires.isoformat()
    if entry.shared:
        shown["shared"] = True
    return shown


def connector_summary(config: Config, name: str) -> dict[str, Any]:
    """C{identity}, C{bindings} and C{enabled}: what Get-ReceiveConnector shows by default."""
    connector = config.receive_connectors[name]
    return {
        "identity": identity(config, name),
        "bindings": [str(binding) for binding in connector.bindings],
        "enabled": connector.enabled,
    }


def connector_properties(config: Config, name: str) -> dict[str, Any]:
    """All parameters of a connector: what C{Get-ReceiveConnector | fl} shows."""
    connector = config.receive_connectors[name]
    properties: dict[str, Any] = {"name": name, **connector_summary(config, name), "server": config.server.name}
    for key in type(connector).model_fields:
        if key not in properties:
            properties[key] = _property(key, getattr(connector, key))
    return properties


def _property(key: str, value: Any) -> Any:
    if key == "remote_ip_ranges":
        return [_range(entry) for entry in value]
    if isinstance(value, list):
        return [str(item) for item in value]
    if value is None:
        return "unlimited"
    if key.endswith(("_interval", "_timeout")):
        return time_span(value)
    return value


def closed_ports(before: Config, after: Config) -> list[str]:
    """What to say where a change leaves nobody to answer on a binding."""
    old, new = (
        {str(binding) for connector in config.receive_connectors.values() if connector.enabled for binding in connector.bindings}
        for config in (before, after)
    )
    return [f"Nobody answers on {binding} any more: no enabled receive connector is bound to it." for binding in sorted(old - new)]
