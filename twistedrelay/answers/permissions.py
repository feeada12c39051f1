"""Who may do what on which receive connector, and what each right comes from: Get-ADPermission in one table."""

from __future__ import annotations

from typing import Any

from twistedrelay.answers.connectors import identity
from twistedrelay.config.schema import Config
from twistedrelay.policy.rights import grants, parse_right, right_name


def permissions(config: Config, name: str) -> list[dict[str, Any]]:
    """The rights on a connector: C{identity}, C{user}, C{extended_right} and C{source} of each."""
    return [
        {"identity": identity(config, name), "user": principal, "extended_right": right_name(right, full=True), "source": source}
        for principal, right, source in grants(config.receive_connectors[name])
    ]


def canonical_right(text: str) -> str:
    """C{Accept-Any-Recipient} from any of its spellings.

    @raise ValueError: there is no such right.
    """
    return right_name(parse_right(text))
