"""Which keys may stand where: finds the unknown ones, says what was meant, and takes them out so that the rest can be checked too.

The known keys are the fields of the models; C{config.later} tells those of Exchange that are not there yet or have no place here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twistedrelay.config import later
from twistedrelay.config.pressure import Thresholds
from twistedrelay.config.problems import Path, Problem, suggestion
from twistedrelay.config.schema import (
    AcceptedDomain,
    Acme,
    AuditException,
    BackPressure,
    Certificate,
    Config,
    Credential,
    Metrics,
    Model,
    OAuthClient,
    OAuthProvider,
    ReceiveConnector,
    Recipients,
    RemoteRange,
    SendConnector,
    Server,
    SystemMessage,
    Transport,
    Webhook,
)

SINGLE: Mapping[str, type[Model]] = {"server": Server, "acme": Acme, "transport": Transport, "metrics": Metrics}
LISTED: Mapping[str, type[Model]] = {
    "certificates": Certificate,
    "oauth_providers": OAuthProvider,
    "system_messages": SystemMessage,
    "audit_exceptions": AuditException,
    "webhooks": Webhook,
}
NAMED: Mapping[str, type[Model]] = {
    "accepted_domains": AcceptedDomain,
    "receive_connectors": ReceiveConnector,
    "send_connectors": SendConnector,
}
_Report = Callable[[Problem], None]


def check(tree: dict[str, Any], report: _Report) -> None:
    """Report unknown keys and keys without a value, and remove them from the tree."""
    _remove_unknown(tree, "", (), [*Config.model_fields, "include"], report)
    for key in [key for key, value in tree.items() if value is None]:
        report(Problem((key,), f"the key {key!r} has no value; give it one or leave the key out"))
        if key != "server":  # the keys that it needs are reported too
            del tree[key]
    for section, model in SINGLE.items():
        if tree.get(section) is not None:
            _check_object(tree, section, model, section, (section,), report)
    for section, model in NAMED.items():
        for name in list(tree.get(section, ())):
            if tree[section][name] is None:
                tree[section][name] = {}
            _check_object(tree[section], name, model, section, (section, name), report)
    for section, model in LISTED.items():
        for index, item in enumerate(tree.get(section, ())):
            if isinstance(item, dict):
                _check_fields(item, model, section, (section, index), report)


def _check_object(holder: dict[str, Any], key: str, model: type[Model], section: str, path: Path, report: _Report) -> None:
    if isinstance(holder[key], dict):
        _check_fields(holder[key], model, section, path, report)
    else:
        report(Problem(path, f"must be a mapping with keys such as {', '.join(list(model.model_fields)[:3])}"))
        del holder[key]


def _check_fields(data: dict[str, Any], model: type[Model], section: str, path: Path, report: _Report) -> None:
    _remove_unknown(data, section, path, model.model_fields, report)
    for key in [key for key, value in data.items() if value is None]:
        report(Problem((*path, key), f"the key {key!r} has no value; give it one or leave the key out"))
        del data[key]
    if model is ReceiveConnector and isinstance(data.get("remote_ip_ranges"), list):
        for index, item in enumerate(data["remote_ip_ranges"]):
            if isinstance(item, dict):
                _check_fields(item, RemoteRange, "remote_ip_ranges", (*path, "remote_ip_ranges", index), report)
    if model is SendConnector and isinstance(data.get("authentication_credential"), dict):
        inner = (*path, "authentication_credential")
        credential = data["authentication_credential"]
        _check_fields(credential, Credential, "authentication_credential", inner, report)
        if isinstance(credential.get("oauth"), dict):
            _check_fields(credential["oauth"], OAuthClient, "oauth", (*inner, "oauth"), report)
    if model is AcceptedDomain and isinstance(data.get("recipients"), dict):
        _check_fields(data["recipients"], Recipients, "recipients", (*path, "recipients"), report)
    if model is Transport and isinstance(data.get("back_pressure"), dict):
        inner = (*path, "back_pressure")
        resources = data["back_pressure"]
        _check_fields(resources, BackPressure, "back_pressure", inner, report)
        for name, thresholds in resources.items():
            if isinstance(thresholds, dict):
                _check_fields(thresholds, Thresholds, "thresholds", (*inner, name), report)


def _remove_unknown(data: dict[str, Any], section: str, path: Path, known: Iterable[str], report: _Report) -> None:
    fields = list(known)
    for key in [key for key in data if key not in fields]:
        report(Problem((*path, key), _unknown(key, section, fields)))
        del data[key]


def _unknown(key: str, section: str, fields: list[str]) -> str:
    """What to say about a key.  Its value is never shown: it may be a password."""
    snake = snake_case(key)
    if snake in fields:
        return f"unknown key {key!r}; Exchange's names are written in snake_case here: did you mean {snake!r}?"
    if snake in later.NOT_YET.get(section, ()):
        return f"the key {key!r} is not there yet in this version; leave it out"
    if reason := later.NO_PLACE.get(section, {}).get(snake):
        return f"the key {key!r} has no place here: {reason}"
    near = suggestion(key, fields)
    return f"unknown key {key!r}{near or '; allowed: ' + ', '.join(fields)}"


def snake_case(name: str) -> str:
    """C{RemoteIPRanges} as C{remote_ip_ranges}; a hyphen counts as an underscore."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name.lstrip("-"))
    return words.replace("-", "_").lower()
