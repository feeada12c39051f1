"""What a configuration says about its accepted domains, in Exchange's terms (Get-AcceptedDomain).  Never looks at a running relay."""

from __future__ import annotations

from typing import Any

from twistedrelay.answers.connectors import find_name, time_span
from twistedrelay.config.schema import Config
from twistedrelay.config.units import domain_pattern


def find_domain(config: Config, name: str) -> str:
    """The accepted domain as configured, from any spelling of it.

    @raise UnknownConnector: there is none.
    """
    try:
        wanted = domain_pattern(name)
    except ValueError:
        wanted = name
    return find_name(config.accepted_domains, "", wanted, "accepted domain")


def domain_summary(config: Config, name: str) -> dict[str, Any]:
    """C{name}, C{domain_name}, C{domain_type}, C{default}, C{next_hop}."""
    domain = config.accepted_domains[name]
    first = next((each for each in config.accepted_domains if not each.startswith("*.")), None)
    return {
        "name": name,
        "domain_name": name,
        "domain_type": domain.domain_type,
        "default": name == first,
        "next_hop": None if domain.next_hop is None else str(domain.next_hop),
    }


def domain_properties(config: Config, name: str) -> dict[str, Any]:
    """All parameters of a domain."""
    recipients = config.accepted_domains[name].recipients
    found = domain_summary(config, name)
    found["recipients"] = None
    if recipients is not None:
        values = {key: getattr(recipients, key) for key in type(recipients).model_fields}
        found["recipients"] = {key: time_span(value) if key.endswith("_time") else value for key, value in values.items() if value != ""}
    return found
