"""Which rights a session has, and where each one comes from.

The rights are those of the session's avatar; the sources are what L{rights_of<twistedrelay.policy.rights.rights_of>} adds up.
"""

from __future__ import annotations

from collections.abc import Sequence

from twistedrelay.answers.explain import document
from twistedrelay.answers.explain.choice import SECTION, Placed
from twistedrelay.config.principals import AUTHENTICATED_USERS, EXTERNALLY_SECURED
from twistedrelay.config.problems import Path
from twistedrelay.policy.realm import RelaySession
from twistedrelay.policy.rights import Grant, Rights, grants_of


def session_rights(avatar: RelaySession, groups: Sequence[str], place: Placed) -> document.Rights:
    """The rights of a session.

    @param groups: those that a directory puts the login into.
    """
    facts = avatar.facts
    if avatar.is_anonymous:
        grants = grants_of(facts.connector, avatar.principal)
    else:
        grants = grants_of(facts.connector, AUTHENTICATED_USERS, avatar.login, groups)
    path: Path = (SECTION, facts.connector_name)
    rights = []
    for right in Rights:
        if right in avatar.rights and right is not Rights.NONE:
            by = [grant for grant in grants if right in grant.rights]
            places = dict.fromkeys(place((*path, *_path(grant))) for grant in by)
            sources = [_source(grant) for grant in by]
            rights.append(document.Right(name=right.labels()[0], sources=sources, place=", ".join(filter(None, places))))
    return document.Rights(principal=avatar.principal, reason=_who(avatar), rights=rights)


def _path(grant: Grant) -> Path:
    return ("permission_groups",) if grant.group else ("extended_rights", grant.key)


def _source(grant: Grant) -> str:
    if grant.group:
        return f"permission group {grant.group} ({grant.principal})"
    return f"extended right of {grant.principal}"


def _who(avatar: RelaySession) -> str:
    if not avatar.is_anonymous:
        known = "an account of the users file" if avatar.user is not None else "taken as known to another checker than the users file"
        others = sorted(f"{local}@{domain}" for local, domain in avatar.own_addresses)
        return f"logged in, {known}; its own addresses: {', '.join(others) or 'none'}"
    if avatar.principal == EXTERNALLY_SECURED:
        return "ExternalAuthoritative (auth_mechanism) with ExchangeServers (permission_groups): peers count as secured by other means"
    return "nobody logged in"
