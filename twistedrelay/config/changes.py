"""What is different between two configurations, and what of it a relay that runs cannot take over.

Decides which keys are only read at a start: where the relay keeps its state and its control socket, how its spool is kept, and what has
listeners of its own besides the receive connectors.  All else can change while it runs.  Values are shown, but for what may be a secret
(L{twistedrelay.config.masking}); what is long is cut.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from twistedrelay.config.masking import checker_text, webhook_text
from twistedrelay.config.schema import Config, RemoteRange
from twistedrelay.config.units import duration_text, size_text
from twistedrelay.values.printable import public_url

#: Keys that are only read at a start.
AT_START = (
    ("server", "state_directory"),
    ("server", "spool"),
    ("server", "workers"),
    ("server", "control_socket"),
    ("acme", ""),
    ("metrics", ""),
    ("transport", "message_tracking_log_enabled"),
    ("transport", "message_tracking_log_path"),
    ("transport", "receive_protocol_log_path"),
    ("transport", "send_protocol_log_path"),
    ("transport", "connectivity_log_path"),
    ("server", "log_format"),
)

#: Where logs are below the state directory by default.
_STATE_PLACES = frozenset({"tracking", os.path.join("logs", "protocol"), os.path.join("logs", "connectivity")})

#: What the objects of a section are called.
_OBJECTS = {
    "accepted_domains": "accepted domain",
    "receive_connectors": "receive connector",
    "send_connectors": "send connector",
}

_LONGEST = 200

#: Sizes that are no octets.
_COUNTS = frozenset({"cache_size"})


def in_place(current: Config, wanted: Config) -> tuple[Config, tuple[str, ...]]:
    """What a relay that runs with one configuration can make of another one, and which keys have to wait for its next start."""
    wanted = _with_state(wanted, current.server.state_directory, wanted.server.state_directory)
    waiting = []
    for section, key in AT_START:
        now, then = getattr(current, section), getattr(wanted, section)
        if not key and now != then:
            wanted = wanted.model_copy(update={section: now})
            waiting.append(section)
        elif key and getattr(now, key) != getattr(then, key):
            wanted = wanted.model_copy(update={section: then.model_copy(update={key: getattr(now, key)})})
            waiting.append(f"{section}.{key}")
    return wanted, tuple(waiting)


def _with_state(config: Config, directory: str, written: str) -> Config:
    """A configuration whose defaults below the state directory are below another one.

    @param directory: the state directory that the relay has.
    @param written: the one that the configuration says.
    """
    if directory == written:
        return config
    users = config.users
    if users == os.path.join(written, "users"):
        users = os.path.join(directory, "users")
    connectors = {}
    for name, connector in config.send_connectors.items():
        credential = connector.authentication_credential
        if credential is not None and credential.oauth is not None:
            folder, file = os.path.split(credential.oauth.refresh_token_file)
            if folder == os.path.join(written, "tokens"):
                oauth = credential.oauth.model_copy(update={"refresh_token_file": os.path.join(directory, "tokens", file)})
                credential = credential.model_copy(update={"oauth": oauth})
                connector = connector.model_copy(update={"authentication_credential": credential})
        connectors[name] = connector
    transport = config.transport
    for key in ("message_tracking_log_path", "receive_protocol_log_path", "send_protocol_log_path", "connectivity_log_path"):
        below = os.path.relpath(getattr(transport, key), written)
        if below in _STATE_PLACES:
            transport = transport.model_copy(update={key: os.path.join(directory, below)})
    return config.model_copy(update={"users": users, "send_connectors": connectors, "transport": transport})


def changes(old: Config, new: Config) -> tuple[str, ...]:
    """What is different, a line for each thing."""
    return tuple(_changes(old, new))


def _changes(old: Config, new: Config) -> Iterator[str]:
    for section in Config.model_fields:
        before, after = getattr(old, section), getattr(new, section)
        if before == after and (section not in _OBJECTS or list(before) == list(after)):
            continue
        if section in _OBJECTS:
            yield from _of_objects(_OBJECTS[section], before, after)
        elif isinstance(before, BaseModel) and isinstance(after, BaseModel):
            yield from (f"{section}.{line}" for line in _of_object(before, after))
        elif section == "credential_checkers":
            yield f"{section}: {_difference(before, after, checker_text)}"
        elif section == "webhooks":
            yield f"{section}: {_difference(before, after, _hook)}"
        else:
            yield f"{section}: {_difference(before, after)}"


def _of_objects(what: str, before: Mapping[str, BaseModel], after: Mapping[str, BaseModel]) -> Iterator[str]:
    for name in before:
        if name not in after:
            yield f"{what} {name}: removed"
    for name, item in after.items():
        if name not in before:
            yield f"{what} {name}: added"
        elif before[name] != item:
            yield from (f"{what} {name}: {line}" for line in _of_object(before[name], item))
    if list(before) != list(after) and sorted(before) == sorted(after):
        yield f"{what}s: in another order"


def _of_object(before: BaseModel, after: BaseModel) -> Iterator[str]:
    for key in type(after).model_fields:
        one, other = getattr(before, key), getattr(after, key)
        if one != other:
            yield f"{key}: {_difference(_measured(key, one), _measured(key, other))}"


def _measured(key: str, value: Any) -> Any:
    """A size or a duration, as people write it."""
    if isinstance(value, float):
        return duration_text(value)
    return size_text(value) if key.endswith("_size") and isinstance(value, int) and key not in _COUNTS else value


def _difference(before: Any, after: Any, shown: Callable[[Any], str] | None = None) -> str:
    shown = shown or _shown
    if isinstance(before, list) and isinstance(after, list):
        gone, come = [item for item in before if item not in after], [item for item in after if item not in before]
        parts = [f"+{shown(item)}" for item in come] + [f"-{shown(item)}" for item in gone]
        text = ", ".join(parts) or "in another order"
    else:
        text = f"{_shown(before)} -> {_shown(after)}"
    text = public_url(text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def _hook(item: Any) -> str:
    """A webhook, without what its address says to get in."""
    return _shown(item.model_copy(update={"url": webhook_text(item.url)}))


def _shown(value: Any) -> str:
    """A value as people write it."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "none"
    if isinstance(value, BaseModel):
        fields = type(value).model_fields.items()
        given = {key: item for key, field in fields if (item := getattr(value, key)) != field.get_default(call_default_factory=True)}
        if len(given) == 1 and isinstance(value, RemoteRange):
            return str(value.range)
        return "{" + ", ".join(f"{key}: {_shown(item)}" for key, item in given.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_shown(item)}" for key, item in value.items()) + "}"
    return str(value) if value != "" else '""'
