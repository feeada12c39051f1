"""Usage types: what a new receive connector gets by what it is for.

Source: New-ReceiveConnector (Usage), "Receive connector usage types".  C{ExchangeServer} and C{Integrated} logins do not exist here and are
left out; C{Client} listens on port 587.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs


@attrs.frozen
class UsageType:
    """A usage type.

    @ivar values: what it fills in.
    @ivar needs: the keys that must be given, and C{refuses}: those that must not.
    """

    values: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    refuses: tuple[str, ...] = ()


USAGE_TYPES: Mapping[str, UsageType] = {
    "Client": UsageType(
        {
            "bindings": ["0.0.0.0:587"],
            "auth_mechanism": ["Tls", "BasicAuth", "BasicAuthRequireTLS"],
            "permission_groups": ["ExchangeUsers"],
        },
        ("remote_ip_ranges",),
        ("bindings",),
    ),
    "Internal": UsageType(
        {
            "bindings": ["0.0.0.0:25"],
            "auth_mechanism": ["Tls"],
            "permission_groups": ["ExchangeServers", "ExchangeLegacyServers"],
        },
        ("remote_ip_ranges",),
        ("bindings",),
    ),
    "Internet": UsageType({"auth_mechanism": ["Tls"], "permission_groups": ["AnonymousUsers"]}, ("bindings",), ("remote_ip_ranges",)),
    "Partner": UsageType({"auth_mechanism": ["Tls"], "permission_groups": ["Partners"]}, ("bindings", "remote_ip_ranges")),
    "Custom": UsageType({"auth_mechanism": ["Tls"], "permission_groups": ["None"]}, ("bindings", "remote_ip_ranges")),
}


def filled(usage: str, given: Mapping[Any, Any]) -> dict[str, Any]:
    """What a usage type adds to the keys that were given.

    @raise ValueError: a key is missing, or must not be given.
    """
    kind = USAGE_TYPES[usage]
    if missing := [key for key in kind.needs if key not in given]:
        raise ValueError(f"{' and '.join(missing)} must be given for the usage type {usage}")
    if wrong := [key for key in kind.refuses if key in given]:
        raise ValueError(f"{wrong[0]} cannot be given for the usage type {usage}, which sets it; use Custom")
    return {key: value for key, value in kind.values.items() if key not in given}
