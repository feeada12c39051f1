"""What breaks if: which recorded clients would be refused, or fall to another connector, after a change that is only thought of.

The rules are those of L{twistedrelay.answers.diff}: the recorded sessions are played again under both configurations.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from twistedrelay.answers.diff.clients import MAX_RECORDS, Theatre, client_changes
from twistedrelay.answers.ledger.document import Affected, Consequences
from twistedrelay.answers.ledger.ranges import Owners
from twistedrelay.answers.ledger.rows import began, counts
from twistedrelay.config.schema import Config, ReceiveConnector
from twistedrelay.observe.ledger.file import Extent
from twistedrelay.observe.ledger.row import OTHERS
from twistedrelay.values.netrange import IPRange
from twistedrelay.values.usage import Usage

_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_ANONYMOUS = "Anonymous Logon"


class ThoughtError(Exception):
    """The change cannot be thought of; C{str()} says why."""


@attrs.frozen(slots=True, kw_only=True)
class Thought:
    """A change; one of the first four is given.

    @ivar connector: the only one that changes, for the first two; C{""}: all of them.
    """

    without_range: str = ""
    minimum_tls: str = ""
    without_connector: str = ""
    require_login: str = ""
    connector: str = ""

    def words(self) -> str:
        """What it is."""
        where = f" of {self.connector}" if self.connector else ""
        if self.without_range:
            return f"without the range {self.without_range}{where}"
        if self.minimum_tls:
            return f"with {self.minimum_tls} or later{where} only"
        if self.without_connector:
            return f"without the connector {self.without_connector}"
        return f"with login only on {self.require_login}"


def changed(config: Config, thought: Thought) -> Config:
    """The configuration after the change.

    @raise ThoughtError: nothing of it would change.
    """
    given = [text for text in (thought.without_range, thought.minimum_tls, thought.without_connector, thought.require_login) if text]
    if len(given) != 1:
        raise ThoughtError("give one of without_range, minimum_tls, without_connector and require_login")
    named = thought.without_connector or thought.require_login or thought.connector
    known = config.receive_connectors
    if named:
        name = next((name for name in known if name.casefold() == named.casefold()), None)
        if name is None:
            raise ThoughtError(f"there is no receive connector {named!r}; there are {', '.join(known)}")
        chosen = {name: known[name]}
    else:
        chosen = dict(known)
    if thought.without_range:
        after = _without_range(chosen, thought.without_range)
    elif thought.minimum_tls:
        after = _minimum_tls(chosen, thought.minimum_tls)
    elif thought.without_connector:
        after = {name: connector.model_copy(update={"enabled": False}) for name, connector in chosen.items()}
    else:
        after = {name: _with_login(connector) for name, connector in chosen.items()}
    return config.model_copy(update={"receive_connectors": {**known, **after}})


def _without_range(chosen: dict[str, ReceiveConnector], text: str) -> dict[str, ReceiveConnector]:
    try:
        gone = IPRange.parse(text)
    except ValueError as error:
        raise ThoughtError(str(error)) from None
    after = {}
    for name, connector in chosen.items():
        left = [entry for entry in connector.remote_ip_ranges if not gone.covers(entry.range)]
        if len(left) == len(connector.remote_ip_ranges):
            continue
        # No range at all would mean nobody, which is what a connector that takes no part is.
        update = {"remote_ip_ranges": left} if left else {"enabled": False}
        after[name] = connector.model_copy(update=update)
    if not after:
        raise ThoughtError(f"no entry of remote_ip_ranges lies in {text}; see `relayctl connector show`")
    return after


def _minimum_tls(chosen: dict[str, ReceiveConnector], version: str) -> dict[str, ReceiveConnector]:
    if version not in _VERSIONS:
        raise ThoughtError(f"{version!r} is no version of TLS; there are {', '.join(_VERSIONS)}")
    after = {}
    for name, connector in chosen.items():
        lowest = max(version, connector.tls_minimum_version, key=_VERSIONS.index)
        highest = max(lowest, connector.tls_maximum_version, key=_VERSIONS.index)
        after[name] = connector.model_copy(update={"tls_minimum_version": lowest, "tls_maximum_version": highest})
    return after


def _with_login(connector: ReceiveConnector) -> ReceiveConnector:
    """Nobody may do anything before a login."""
    groups = [group for group in connector.permission_groups if group != "AnonymousUsers"]
    mechanisms = [name for name in connector.auth_mechanism if name != "ExternalAuthoritative"]
    rights = {who: names for who, names in connector.extended_rights.items() if who != _ANONYMOUS}
    update = {"permission_groups": groups or ["ExchangeUsers"], "auth_mechanism": mechanisms, "extended_rights": rights}
    return connector.model_copy(update=update)


def _definite(usage: Usage) -> Usage:
    """Something that can be said, where a row stands for many."""
    if OTHERS not in (usage.helo, usage.sender_domain):
        return usage
    return attrs.evolve(usage, helo="others.example.com", sender_domain="others.example.com")


def consequences(config: Config, thought: Thought, rows: Sequence[Usage], now: float, extent: Extent) -> Consequences:
    """Who would be refused or fall to another connector.  Blocks.

    @raise ThoughtError: see L{changed}.
    """
    after = changed(config, thought)
    looked_at = sorted(rows, key=lambda usage: -usage.last_seen)[:MAX_RECORDS]
    affected = []
    if looked_at:
        owners = Owners(config)
        theatres = Theatre(config, now), Theatre(after, now)
        for usage, change in zip(looked_at, client_changes(*theatres, map(_definite, looked_at)), strict=True):
            if change is None or change.effect == "accepted":
                continue
            entry = owners.entry(usage.connector, usage.client)
            affected.append(
                Affected(
                    **counts(usage),
                    effect=change.effect,
                    what=change.what,
                    old_connector=change.old_connector,
                    new_connector=change.new_connector,
                    client=usage.client,
                    helo=usage.helo,
                    user=usage.user,
                    sender_domain=usage.sender_domain,
                    tls=usage.tls,
                    range=str(entry.range) if entry is not None else "",
                    owner=entry.owner if entry is not None else "",
                )
            )
    affected.sort(key=lambda one: (one.effect != "refused", -one.messages))
    notes = []
    if len(rows) > len(looked_at):
        notes.append(f"Only the latest {len(looked_at)} of {len(rows)} recorded clients were looked at.")
    if not rows:
        notes.append("Nobody is recorded in the ledger.")
    if any(usage.client == OTHERS for usage in looked_at):
        notes.append("Clients that the ledger had no room for were not looked at.")
    if thought.minimum_tls:
        notes.append("A client is taken to speak no other version of TLS than the one that it spoke.")
    return Consequences(change=thought.words(), affected=affected, looked_at=len(looked_at), began=began(extent), notes=notes)
