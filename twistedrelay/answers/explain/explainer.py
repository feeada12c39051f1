"""The whole answer to a question: the parts put together.

An L{Explainer} is of one configuration: of a file, or of a relay that runs, whose own rules, router and counts answer then.
"""

from __future__ import annotations

import datetime
import functools
import secrets
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from twistedrelay.answers.explain import document
from twistedrelay.answers.explain.bounds import Bounds
from twistedrelay.answers.explain.choice import SECTION, Placed, candidates
from twistedrelay.answers.explain.lists import Unasked, file_recipients
from twistedrelay.answers.explain.logins import Find, account, others_vouch
from twistedrelay.answers.explain.permissions import session_rights
from twistedrelay.answers.explain.question import Door, Question, find_door
from twistedrelay.answers.explain.rehearsal import Rehearsal, rehearse
from twistedrelay.answers.explain.routes import Routes, message_of
from twistedrelay.answers.explain.stage import Stage
from twistedrelay.answers.explain.verdicts import Verdicts, extensions
from twistedrelay.config.schema import Config
from twistedrelay.config.srs_secret import kept_secrets
from twistedrelay.config.users import User
from twistedrelay.interfaces import IResolver, IRouter, ResolutionError
from twistedrelay.net.factory import Reception
from twistedrelay.policy.acceptance import Acceptance
from twistedrelay.policy.srs import ReturnPaths
from twistedrelay.routing.rewrite import rewrite_of
from twistedrelay.routing.router import Router
from twistedrelay.values.envelope import Origin
from twistedrelay.values.netrange import parse_ip
from twistedrelay.values.printable import host_port
from twistedrelay.values.route import Route

#: The queue of a way out, where somebody knows it.
QueueOf = Callable[[Route], document.QueueState | None]


def nowhere(path: object) -> str:
    """No place is known."""
    return ""


@attrs.frozen(slots=True)
class Rules:
    """What judges and routes under one configuration.

    @ivar running: the receiving half of the relay that runs with it, or None.
    @ivar notes: what is not as it would be in a relay.
    """

    config: Config
    acceptance: Acceptance
    router: IRouter
    running: Reception | None = None
    unasked: Unasked | None = None
    notes: tuple[str, ...] = ()


def rules_of(config: Config, recipients: bool = True) -> Rules:
    """The rules of a configuration that nothing runs with.  Reads the lists of recipients and the secrets of SRS; makes nothing.

    @param recipients: whether it matters which recipients exist.
    """
    notes = []
    kept = kept_secrets(config)
    if kept is None:
        kept = (secrets.token_bytes(32),)
        notes.append("The secrets of srs_domain cannot be read: return paths that are shown are of the right form only.")
    unasked = Unasked()
    existing = None
    if recipients:
        existing, problems = file_recipients(config, unasked)
        notes += problems
    acceptance = Acceptance(config, ReturnPaths(config, kept), existing)
    router = Router(config, functools.partial(rewrite_of, config=config, secrets=kept))
    return Rules(config, acceptance, router, None, unasked, tuple(notes))


def _no_user(name: str) -> User | None:
    return None


class Explainer:
    """See the module."""

    def __init__(
        self,
        rules: Rules,
        *,
        now: float,
        user: Callable[[str], User | None] = _no_user,
        everybody: bool = False,
        place: Placed = nowhere,
        resolver: IResolver | None = None,
        queue_of: QueueOf | None = None,
    ) -> None:
        """
        @param user: the account that a login name means.
        @param everybody: the users file cannot be read, so everybody is believed to be in it.
        @param resolver: finds the hosts of a next hop, for questions that want that.
        """
        self._rules = rules
        self._now = now
        self._user = user
        self._everybody = everybody
        self._place = place
        self._resolver = resolver
        self._queue_of = queue_of

    def _find(self, groups: Sequence[str]) -> Find:
        config = self._rules.config
        others = self._everybody or others_vouch(config, config.receive_connectors.values())
        return lambda name: account(self._user(name), name, groups, others)

    async def explain(self, question: Question) -> document.Explanation:
        """The answer.

        @raise QuestionError: it has no answer; it says what could be asked.
        """
        rules, place = self._rules, self._place
        config, client = rules.config, parse_ip(question.client)
        stage = Stage(config, rules.acceptance, self._find(question.groups), self._now, rules.running)
        door = find_door(stage.table, config, question.to, client)
        found = await rehearse(stage, door, question)
        today = datetime.date.fromtimestamp(self._now)
        rivals = [] if found.needs_header else candidates(config, stage.table, door, client, today, place)
        chosen = next((one.name for one in rivals if one.chosen), "")
        if chosen and found.site is None:  # it turned the client away
            found.site = stage.site(chosen)
        verdicts = Verdicts(config, rules.acceptance, found, place)
        routes = [await self._route(question, found, one) for one in range(len(found.asked)) if found.asked[one][2] is not None]
        accepted = found.accepted and all(route.action == "send" for route in routes)
        site = found.site
        told = document.Explanation(
            question=question,
            live=rules.running is not None,
            local=str(door.local),
            binding=host_port(door.binding.host, door.binding.port),
            accepted=accepted,
            summary=_summary(found, routes),
            receive_connector=site.name if site is not None else "",
            candidates=rivals,
            tls=found.tls,
            dialogue=verdicts.dialogue(),
            routes=routes,
            limits=Bounds(config, question, found, place, rules.running).limits(),
            notes=[*rules.notes, *self._notes(question, door, found)],
        )
        if found.at_connect is not None:
            told.at_connect = session_rights(found.at_connect, (), place)
        if found.logged_in is not None:
            told.after_login = session_rights(found.logged_in, question.groups, place)
        if site is not None and found.offers:
            told.extensions = list(extensions(found.offers[-1], site.connector, (SECTION, site.name), place))
        return told

    async def _route(self, question: Question, found: Rehearsal, index: int) -> document.Route:
        text, _, recipient = found.asked[index]
        assert recipient is not None and found.sender is not None and found.site is not None
        login = found.avatar.login if found.avatar is not None else ""
        origin = Origin(connector=found.site.name, client=question.client, helo=question.helo, user=login)
        everybody = [each for _, _, each in found.asked if each is not None]
        message = message_of(found.sender, everybody, found.parameters, question.size or 0, origin, self._now)
        rules = self._rules
        told, way = Routes(rules.config, rules.router, rules.acceptance, self._place).route(message, recipient)
        told.recipient = text
        if way is not None:
            if self._queue_of is not None:
                told.queue = self._queue_of(way)
            redirected = told.queue is not None and told.queue.redirected_to
            if question.resolve and self._resolver is not None and way.kind == "smtp" and not redirected:
                try:
                    told.targets = [str(target) for target in await self._resolver.targets(way)]
                except ResolutionError as error:
                    told.targets, told.resolution = [], str(error.reply)
                    told.action = "return" if error.reply.is_permanent else "wait"
                    told.reason = f"the DNS knows no host for it: {error.reply}"
        return told

    def _notes(self, question: Question, door: Door, found: Rehearsal) -> list[str]:
        notes = []
        config, port = self._rules.config, door.binding.port
        if door.assumed:
            own = {
                str(binding)
                for connector in config.receive_connectors.values()
                if connector.enabled
                for binding in connector.bindings
                if binding.port == port and int(parse_ip(binding.host)) and parse_ip(binding.host).version == door.local.version
            }
            if own:
                notes.append(f"Connections to {', '.join(sorted(own))} meet other connectors first: ask with --to for those.")
        running = self._rules.running
        if running is not None and running.pressure.active:
            notes.append(f"Resources run short: {running.pressure.reason}.")
        if self._rules.unasked is not None:
            asked = self._rules.unasked.take()
            notes += [f"{source} would be asked whether {address} exists; here it counts as there." for source, address in asked]
        if question.user and found.logged_in is not None:
            notes.append("The password is taken as right.")
        if question.size is not None and not any("SIZE=" in step.command for step in found.steps) and found.sender is not None:
            notes.append("SIZE is not offered: a message that is too large is refused at its end only.")
        if question.resolve and self._resolver is None:
            notes.append("Nobody here can ask the DNS.")
        return notes


def _summary(found: Rehearsal, routes: Sequence[document.Route]) -> str:
    """One sentence."""
    for step in found.steps:
        if not step.ok:
            said = step.reply.split("\n")[-1] or "nothing, and the connection is closed"
            return f"Refused: {step.command} is answered {said}"
    waiting = [route for route in routes if route.action != "send"]
    if waiting:
        return f"Accepted, but {waiting[0].recipient} {'is returned' if waiting[0].action == 'return' else 'waits'}: {waiting[0].reason}"
    if routes:
        return "Accepted; every recipient has a way."
    return "Accepted as far as it was asked."


def file_users(path: str) -> tuple[Callable[[str], User | None], bool]:
    """The accounts of a users file, and whether everybody has to be believed because it cannot be read."""
    from twistedrelay.config.users import UsersError, UsersFile

    users = UsersFile(path)
    try:
        users.list()
    except UsersError:
        return _no_user, True
    return users.find, False


def offline(config: Config, now: float, place: Placed = nowhere, **more: Any) -> Explainer:
    """Of a file, without a daemon."""
    find, everybody = file_users(config.users)
    return Explainer(rules_of(config), now=now, user=find, everybody=everybody, place=place, **more)
