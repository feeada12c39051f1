"""Which recorded clients would get another answer: their sessions, rehearsed under both configurations.

A record does not say everything: the local parts of senders and recipients are made up, except that a login sends as itself, and whether a
recipient exists is not looked at.  The client is taken to speak the same version of TLS as it did, and no other.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import attrs

from twistedrelay.answers.diff.document import ClientChange
from twistedrelay.answers.explain.alone import at_once
from twistedrelay.answers.explain.explainer import file_users, rules_of
from twistedrelay.answers.explain.logins import account, others_vouch
from twistedrelay.answers.explain.question import Door, Question, QuestionError, find_door
from twistedrelay.answers.explain.rehearsal import Rehearsal, Step, rehearse
from twistedrelay.answers.explain.stage import Stage
from twistedrelay.config.schema import Config
from twistedrelay.config.users import User
from twistedrelay.policy.connector import ListeningBinding
from twistedrelay.values.address import Address, AddressError, parse_address
from twistedrelay.values.envelope import NO_RCPT_PARAMETERS
from twistedrelay.values.netrange import parse_ip
from twistedrelay.values.printable import host_port
from twistedrelay.values.usage import Usage

#: Records that are looked at, the latest ones.
MAX_RECORDS = 10_000

#: A HELO name that every connector takes that takes any.
_ORDINARY = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*(?:\.[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*)+")
_SOMEBODY = "somebody.example.com"

_VERSIONS = frozenset(("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"))


@attrs.frozen(slots=True)
class Verdict:
    """What a client of some kind would be told.

    @ivar refusal: the step at which it ends, or C{""}.
    @ivar refused: the recipients' domains that it may not send to, with the reply.
    """

    connector: str = ""
    rights: tuple[str, ...] = ()
    refusal: str = ""
    refused: tuple[tuple[str, str], ...] = ()


class Theatre:
    """One configuration, where recorded sessions are played again.  Equal ones are played once."""

    def __init__(self, config: Config, now: float, users: tuple[Callable[[str], User | None], bool] | None = None) -> None:
        """
        @param users: the accounts by login name, and whether everybody is believed; None: those of the users file.
        """
        self._config = config
        self._user, everybody = file_users(config.users) if users is None else users
        self._others = everybody or others_vouch(config, config.receive_connectors.values())
        rules = rules_of(config, recipients=False)
        self._acceptance = rules.acceptance
        self._stage = Stage(config, rules.acceptance, lambda name: account(self._user(name), name, (), self._others), now)
        self._today = datetime.date.fromtimestamp(now)
        self._known: dict[Any, Verdict] = {}

    def user(self, name: str) -> User | None:
        """The account that a login name means."""
        return self._user(name)

    def behind(self, row: Usage) -> ListeningBinding | None:
        """Where a client came in for which a load balancer spoke: its record has the balancer's own address, which is none of ours."""
        try:
            door = find_door(self._stage.table, self._config, row.local, parse_ip(row.client))
        except QuestionError:
            door = None
        if door is not None and row.connector in door.binding.connectors:
            return None
        return next((each for each in self._stage.table.bindings if each.proxies and row.connector in each.connectors), None)

    def _door(self, row: Usage, behind: ListeningBinding | None) -> Door:
        """@raise QuestionError: nobody listens there."""
        if behind is None:
            return find_door(self._stage.table, self._config, row.local, parse_ip(row.client))
        place = behind.host, behind.port
        binding = next((each for each in self._stage.table.bindings if (each.host, each.port) == place), None)
        if binding is None:
            raise QuestionError(f"Nobody listens on {host_port(*place)}, where a load balancer speaks for it.")
        if not binding.proxies:
            raise QuestionError(f"No load balancer may speak for it on {host_port(*place)} (proxy_protocol_from).")
        return Door(binding, parse_ip(binding.host))

    def verdict(self, row: Usage, sender: str | None, behind: ListeningBinding | None = None) -> Verdict:
        """What a client would be told.

        @param sender: MAIL FROM; None where it never got so far.
        @param behind: where a load balancer speaks for it.
        """
        helo = _SOMEBODY if _ORDINARY.fullmatch(row.helo) else row.helo
        question = Question(
            client=row.client, to=row.local, tls=_version(row.tls), helo=helo, user=row.user, sender=sender or "", recipients=()
        )
        client = parse_ip(row.client)
        try:
            door = self._door(row, behind)
        except QuestionError as error:
            return Verdict(refusal=str(error))
        factory = self._stage.factory(door.binding)
        choice = self._stage.table.choose(door.binding, door.local, client, self._today)
        key = (
            door.binding,
            choice.name if choice is not None else "",
            factory.is_proxy(client),
            factory.is_probe(client),
            *(question.tls, helo, row.user, sender, row.recipient_domains),
        )
        known = self._known.get(key)
        if known is None:
            if sender == "":
                question = question.model_copy(update={"recipients": ("postmaster",)})  # the null path is said, too
            known = self._known[key] = self._judge(at_once(rehearse(self._stage, door, question)), row)
        return known

    def _judge(self, found: Rehearsal, row: Usage) -> Verdict:
        failed = next((step for step in found.steps if not step.ok and not step.command.startswith(("RCPT", "DATA"))), None)
        avatar = found.avatar
        refused = []
        if failed is None and avatar is not None:
            for domain in row.recipient_domains:
                reply = self._acceptance.rcpt(avatar, avatar.facts, _somebody(domain), NO_RCPT_PARAMETERS, 0)
                if reply.code >= 400:
                    refused.append((domain, str(reply)))
        return Verdict(
            connector=found.site.name if found.site is not None else "",
            rights=avatar.rights.labels() if avatar is not None else (),
            refusal="" if failed is None else _refusal(failed),
            refused=tuple(refused),
        )


def _somebody(domain: str) -> Address:
    try:
        return parse_address(f"somebody@{domain}", utf8=True)
    except AddressError:
        return Address(f"somebody@{domain}", "somebody", domain)


def _version(recorded: str) -> Any:
    return recorded if recorded in _VERSIONS else "any" if recorded else ""


def _refusal(step: Step) -> str:
    command = step.command.partition(":")[0]
    said = step.reply.split("\n")[-1] or "the connection is closed"
    return f"{command}: {said}" + (f" ({step.limit})" if step.limit else "")


def client_changes(old: Theatre, new: Theatre, rows: Iterable[Usage]) -> Iterator[ClientChange | None]:
    """For each record the change, or None where nothing changes; so that who asks can stop between them."""
    for row in rows:
        try:
            sender = _sender(old, row)
            behind = old.behind(row)
            before, after = old.verdict(row, sender, behind), new.verdict(row, sender, behind)
        except ValueError:  # a record of something that cannot be asked
            yield None
            continue
        yield None if before == after else _change(row, before, after)


def _sender(theatre: Theatre, row: Usage) -> str | None:
    if not row.sender_domain:
        return "" if row.messages else None
    user = theatre.user(row.user) if row.user else None
    own = [user.address, *user.send_as] if user is not None else [row.user]
    fitting = (text for text in own if text.rpartition("@")[2].lower() == row.sender_domain)
    return next(fitting, f"somebody@{row.sender_domain}")


def _change(row: Usage, before: Verdict, after: Verdict) -> ClientChange:
    what, effect = list(_words(before, after)), _effect(before, after)
    return ClientChange(
        effect=effect,
        client=row.client,
        local=row.local,
        helo=row.helo,
        user=row.user,
        sender_domain=row.sender_domain,
        tls=row.tls,
        last_seen=datetime.datetime.fromtimestamp(row.last_seen, datetime.UTC),
        sessions=row.sessions,
        messages=row.messages,
        old_connector=before.connector,
        new_connector=after.connector,
        what=what,
    )


def _effect(before: Verdict, after: Verdict) -> Literal["refused", "accepted", "changed"]:
    if not before.refusal and (after.refusal or _newly(before, after)):
        return "refused"
    if not after.refusal and (before.refusal or _newly(after, before)):
        return "accepted"
    return "changed"


def _newly(before: Verdict, after: Verdict) -> list[tuple[str, str]]:
    known = {domain for domain, _ in before.refused}
    return [(domain, reply) for domain, reply in after.refused if domain not in known]


def _words(before: Verdict, after: Verdict) -> Iterator[str]:
    if before.refusal != after.refusal:
        if before.refusal:
            yield f"no longer refused: {before.refusal}"
        if after.refusal:
            yield f"refused: {after.refusal}"
    if before.connector != after.connector:
        yield f"another receive connector: {after.connector or 'none'} instead of {before.connector or 'none'}"
    if not before.refusal and not after.refusal:
        for domain, reply in _newly(before, after):
            yield f"recipients in {domain} refused: {reply}"
        for domain, _ in _newly(after, before):
            yield f"recipients in {domain} no longer refused"
        if lost := [right for right in before.rights if right not in after.rights]:
            yield f"without the rights {', '.join(lost)}"
        if won := [right for right in after.rights if right not in before.rights]:
            yield f"with the rights {', '.join(won)}"
