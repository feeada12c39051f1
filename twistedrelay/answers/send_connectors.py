"""What a configuration says about its send connectors, in Exchange's terms.

The property names are Get-SendConnector's in snake_case.  Secrets are in files of their own: only where they are is shown.  Never looks at
a running relay.
"""

from __future__ import annotations

import os
from typing import Any

from twistedrelay.answers.connectors import find_name, identity, time_span
from twistedrelay.config.schema import Config
from twistedrelay.config.sending import Credential
from twistedrelay.values.printable import public_url

#: The keys for which nothing said means no limit.
_LIMITS = frozenset({"max_message_size", "max_outbound_connections", "message_rate_limit"})


def find_send_connector(config: Config, name: str) -> str:
    """The name, as configured, that is meant by C{Name} or C{SERVER\\Name}; case does not count.

    @raise UnknownConnector: there is none.
    """
    return find_name(config.send_connectors, config.server.name, name, "send")


def send_connector_summary(config: Config, name: str) -> dict[str, Any]:
    """C{identity}, C{address_spaces}, C{smart_hosts} and C{enabled}."""
    connector = config.send_connectors[name]
    return {
        "identity": identity(config, name),
        "address_spaces": list(connector.address_spaces),
        "smart_hosts": [str(hop) for hop in connector.smart_hosts],
        "enabled": connector.enabled,
    }


def send_connector_properties(config: Config, name: str) -> dict[str, Any]:
    """All parameters of a connector, with what its preset fills in."""
    connector = config.send_connectors[name]
    properties: dict[str, Any] = {"name": name, **send_connector_summary(config, name)}
    for key in type(connector).model_fields:
        if key not in properties:
            properties[key] = _property(key, getattr(connector, key))
    return properties


def _property(key: str, value: Any) -> Any:
    if isinstance(value, Credential):
        return _credential(value)
    if isinstance(value, list):
        return [str(item) for item in value]
    if value is None:
        return "unlimited" if key in _LIMITS else None
    return time_span(value) if key.endswith("_timeout") else value


def _credential(credential: Credential) -> dict[str, Any]:
    """The login, without what is empty, and whether there is a grant."""
    found = {key: value for key, value in credential.model_dump(exclude={"oauth"}).items() if value}
    if credential.oauth is not None:
        oauth: dict[str, Any] = {key: public_url(value) for key, value in credential.oauth.model_dump().items() if value}
        if credential.oauth.grant_type == "refresh_token":
            oauth["authorized"] = os.path.exists(credential.oauth.refresh_token_file)
        else:
            oauth.pop("refresh_token_file", None)
        found["oauth"] = oauth
    return found
