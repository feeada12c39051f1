"""Which objects of two configurations differ, and in which parameters, as Exchange's views show them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from twistedrelay.answers.connectors import connector_properties, time_span
from twistedrelay.answers.diff.document import BindingChange, Change
from twistedrelay.answers.send_connectors import send_connector_properties
from twistedrelay.config.masking import checker_text, webhook_text
from twistedrelay.config.schema import Config
from twistedrelay.policy.connector import ConnectorTable
from twistedrelay.values.printable import host_port, public_url

Properties = Mapping[str, Any]

#: What names an object and is no parameter of it.
_NAMES = frozenset({"name", "identity", "server"})


def object_changes(old: Config, new: Config) -> list[Change]:
    """All of them, by kind of object."""
    return [_public(change) for change in _changes(old, new)]


def _changes(old: Config, new: Config) -> Iterator[Change]:
    yield from _single("Server", _plain(old.server), _plain(new.server))
    yield from _named("AcceptedDomain", old.accepted_domains, new.accepted_domains)
    yield from _configured("ReceiveConnector", old, new, "receive_connectors", connector_properties)
    yield from _configured("SendConnector", old, new, "send_connectors", send_connector_properties)
    yield from _listed("Certificate", old.certificates, new.certificates, "certificate")
    yield from _listed("OAuthProvider", old.oauth_providers, new.oauth_providers, "issuer")
    yield from _listed("SystemMessage", old.system_messages, new.system_messages, "dsn_code", "language", "internal")
    yield from _single("Transport", _plain(old.transport), _plain(new.transport))
    yield from _listed("Webhook", old.webhooks, new.webhooks, "name")
    yield from _listed("AuditException", old.audit_exceptions, new.audit_exceptions, "code", "object")
    yield from _named("Acme", {"": old.acme} if old.acme else {}, {"": new.acme} if new.acme else {})
    yield from _named("Metrics", {"": old.metrics} if old.metrics else {}, {"": new.metrics} if new.metrics else {})
    yield from _single("Audit", {"interval": time_span(old.audit_interval)}, {"interval": time_span(new.audit_interval)})
    yield from _single("Users", _accounts(old), _accounts(new))


def _accounts(config: Config) -> Properties:
    return {"users": config.users, "credential_checkers": config.credential_checkers}


def _public(change: Change) -> Change:
    """The same, without what may be a secret."""
    hide = checker_text if change.parameter == "credential_checkers" else webhook_text if change.object == "Webhook" else public_url
    hidden = {"identity": public_url(change.identity), "old": _each(change.old, hide), "new": _each(change.new, hide)}
    return change.model_copy(update=hidden)


def _each(value: Any, hide: Callable[[str], str]) -> Any:
    """A value whose texts are shown otherwise."""
    if isinstance(value, dict):
        return {key: _each(item, hide) for key, item in value.items()}
    return [_each(item, hide) for item in value] if isinstance(value, list) else hide(value) if isinstance(value, str) else value


def _listed(kind: str, old: Sequence[BaseModel], new: Sequence[BaseModel], *keys: str) -> Iterator[Change]:
    yield from _named(kind, _by(old, *keys), _by(new, *keys))


def _configured(kind: str, old: Config, new: Config, section: str, properties: Callable[[Config, str], Properties]) -> Iterator[Change]:
    """Connectors, as C{relayctl} shows them."""
    before, after = getattr(old, section), getattr(new, section)
    for name in after:
        if name in before:
            yield from _single(kind, properties(old, name), properties(new, name), name)
    yield from _come_and_gone(kind, before, after, lambda name: properties(old if name in before else new, name), {"fqdn": new.server.fqdn})


def _named(kind: str, old: Mapping[str, BaseModel], new: Mapping[str, BaseModel]) -> Iterator[Change]:
    """Objects by their names."""
    for name, item in new.items():
        if name in old:
            yield from _single(kind, _plain(old[name]), _plain(item), name)
    yield from _come_and_gone(kind, old, new, lambda name: _plain((old if name in old else new)[name]))


def _come_and_gone(
    kind: str,
    old: Mapping[str, BaseModel],
    new: Mapping[str, BaseModel],
    properties: Callable[[str], Properties],
    usual: Properties = MappingProxyType({}),
) -> Iterator[Change]:
    """Those that are in one only, with what was set in them."""
    for name, item in new.items():
        if name not in old:
            yield Change(kind="added", object=kind, identity=name, new=_set(properties(name), item, usual))
    for name, item in old.items():
        if name not in new:
            yield Change(kind="removed", object=kind, identity=name, old=_set(properties(name), item, usual))


def _set(properties: Properties, item: BaseModel, usual: Properties) -> dict[str, Any]:
    """The parameters that are not as they are by themselves."""
    found = {}
    for key, field in type(item).model_fields.items():
        value = getattr(item, key)
        if key in properties and (field.is_required() or value not in (field.get_default(), usual.get(key))):
            found[key] = properties[key]
    return found


def _single(kind: str, old: Properties, new: Properties, identity: str = "") -> Iterator[Change]:
    for key in dict.fromkeys((*old, *new)):
        if key not in _NAMES and old.get(key) != new.get(key):
            yield Change(kind="changed", object=kind, identity=identity, parameter=key, old=old.get(key), new=new.get(key))
    if kind == "Server" and old.get("name") != new.get("name"):
        yield Change(kind="changed", object=kind, parameter="name", old=old.get("name"), new=new.get("name"))


def _by(items: Sequence[BaseModel], *keys: str) -> dict[str, BaseModel]:
    return {" ".join(str(getattr(item, key)) for key in keys if getattr(item, key) is not None): item for item in items}


def _plain(item: BaseModel) -> Properties:
    """The parameters of a model as they read."""
    found = {}
    for key in type(item).model_fields:
        value = getattr(item, key)
        found[key] = time_span(value) if isinstance(value, float) and key.endswith(("_interval", "_timeout", "_time")) else _shown(value)
    return found


def _shown(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _plain(value)
    if isinstance(value, list):
        return [_shown(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str | dict) else str(value)


def binding_changes(old: Config, new: Config) -> list[BindingChange]:
    """The sockets that come and go."""
    before, after = (_sockets(config) for config in (old, new))
    opened = [BindingChange(kind="opened", binding=text, connectors=names) for text, names in after.items() if text not in before]
    closed = [BindingChange(kind="closed", binding=text, connectors=names) for text, names in before.items() if text not in after]
    return opened + closed


def _sockets(config: Config) -> dict[str, list[str]]:
    return {host_port(one.host, one.port): list(one.connectors) for one in ConnectorTable(config).bindings}
