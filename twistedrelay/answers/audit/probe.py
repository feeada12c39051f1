"""The self-test: whether a stranger can relay through the listeners of this relay, tried and not computed.

It decides from where each listener is tried.  An address of the loopback network stands for a stranger where no entry names it; else a
stranger is introduced by PROXY or XCLIENT, where this host may do that; else the session is rehearsed in memory by the relay's own protocol
code, for an address of a network that is nobody's.  The findings say which.  Blocks: for a thread or a command.

Sources: RFC 5737 and RFC 3849 (addresses that are nobody's), www.haproxy.org proxy-protocol.txt, www.postfix.org XCLIENT_README.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

import attrs

from twistedrelay.answers.audit.attempts import Attempt, Outcome, attempts
from twistedrelay.answers.audit.caller import Call, try_all
from twistedrelay.answers.doubts import is_wide
from twistedrelay.answers.explain.alone import at_once
from twistedrelay.answers.explain.explainer import rules_of
from twistedrelay.answers.explain.question import Door, Question
from twistedrelay.answers.explain.rehearsal import rehearse
from twistedrelay.answers.explain.stage import Stage
from twistedrelay.config.schema import Config
from twistedrelay.policy.connector import Choice, ConnectorTable, ListeningBinding
from twistedrelay.values.netrange import IPAddress, IPRange, parse_ip
from twistedrelay.values.printable import host_port

#: Seconds for the whole self-test.
BUDGET = 24.0

#: Attempts over one connection: relays slow down those who are refused.
_IN_ONE_CALL = 2
_CALLS_AT_ONCE = 48

_LOOPBACK = {4: IPRange.parse("127.0.0.0/8"), 6: IPRange.parse("::1")}
_STRANGERS = {4: parse_ip("198.51.100.77"), 6: parse_ip("2001:db8::77")}


@attrs.frozen(slots=True)
class Trial:
    """A listener that was tried.

    @ivar connector: the receive connector that took the stranger, or nothing.
    @ivar manner: from where and how, in words.
    @ivar error: why a connection for it could not be had, where that happened.
    """

    listener: str
    connector: str
    manner: str
    outcomes: tuple[Outcome, ...] = ()
    error: str = ""


@attrs.frozen(slots=True)
class _Plan:
    """How a listener is tried; C{call}: None for a rehearsal."""

    socket: ListeningBinding
    local: IPAddress
    stranger: IPAddress
    connector: str
    manner: str
    call: Call | None


def probe(config: Config, now: float, ends: set[str]) -> list[Trial]:
    """Try all listeners.

    @param ends: holds the C{"address:port"} of each connection for it, while it lasts.
    """
    today = datetime.datetime.fromtimestamp(now, datetime.UTC).date()
    table = ConnectorTable(config)
    plans = [_plan(config, table, socket, today) for socket in table.bindings]
    with_calls = [plan for plan in plans if plan.call is not None]
    pool = ThreadPoolExecutor(_CALLS_AT_ONCE)
    waiting = [(plan, batch, pool.submit(_called, plan, batch, ends)) for plan in with_calls for batch in _batches(config, plan)]
    rehearsed = [_rehearsed(config, plan, now) for plan in plans if plan.call is None]
    wait([future for _, _, future in waiting], BUDGET)
    pool.shutdown(wait=False, cancel_futures=True)
    return [_trial(plan, [(batch, future) for other, batch, future in waiting if other is plan]) for plan in with_calls] + rehearsed


def _batches(config: Config, plan: _Plan) -> Iterator[Sequence[Attempt]]:
    wanted = attempts(config, str(plan.local))
    for start in range(0, len(wanted), _IN_ONE_CALL):
        yield wanted[start : start + _IN_ONE_CALL]


def _called(plan: _Plan, batch: Sequence[Attempt], ends: set[str]) -> list[Outcome]:
    assert plan.call is not None
    return list(try_all(plan.call, batch, ends))


def _trial(plan: _Plan, batches: Sequence[tuple[Sequence[Attempt], Future[list[Outcome]]]]) -> Trial:
    outcomes: list[Outcome] = []
    error = ""
    for batch, future in batches:
        if future.done() and not future.cancelled() and (failed := future.exception()) is None:
            outcomes += future.result()
            continue
        if future.done() and not future.cancelled():
            error = str(failed) or type(failed).__name__
        outcomes += [Outcome(attempt, "") for attempt in batch]
    return Trial(_name(plan.socket), plan.connector, plan.manner, tuple(outcomes), error)


def _name(socket: ListeningBinding) -> str:
    return host_port(socket.host, socket.port)


# -- from where ------------------------------------------------------------------------------------------------------------


def _plan(config: Config, table: ConnectorTable, socket: ListeningBinding, today: datetime.date) -> _Plan:
    bound = parse_ip(socket.host)
    local = parse_ip("127.0.0.1" if bound.version == 4 else "::1") if int(bound) == 0 else bound
    choose = functools.partial(table.choose, socket, local, today=today)
    make = functools.partial(_made, config, socket, local)
    for source in _sources(local):
        choice = choose(peer_ip=source)
        if not any(proxy.contains(source) for proxy in (*socket.proxies, *socket.probes)) and (choice is None or _is_stranger(choice)):
            return make(source, source, choice, f"from {source}, over a connection")
    stranger = _STRANGERS[local.version]
    for source in _sources(local):
        if any(proxy.contains(source) for proxy in socket.proxies):
            header = f"PROXY TCP{local.version} {stranger} {local} 40000 {socket.port}\r\n".encode()
            manner = f"for {stranger}, over a connection from {source} with a PROXY header"
            return make(source, stranger, choose(peer_ip=stranger), manner, header=header)
        choice = choose(peer_ip=source)
        if choice is not None and any(trusted.contains(source) for trusted in choice.connector.xclient_from):
            xclient = f"IPV6:{stranger}" if local.version == 6 else str(stranger)
            manner = f"for {stranger}, over a connection from {source} with XCLIENT"
            return make(source, stranger, choose(peer_ip=stranger), manner, xclient=xclient)
    choice = choose(peer_ip=stranger)
    name = choice.name if choice is not None else ""
    return _Plan(socket, local, stranger, name, f"as {stranger}, in a rehearsed session: no address here is a stranger's", None)


def _made(
    config: Config,
    socket: ListeningBinding,
    local: IPAddress,
    source: IPAddress,
    stranger: IPAddress,
    choice: Choice | None,
    manner: str,
    header: bytes = b"",
    xclient: str = "",
) -> _Plan:
    call = Call(
        host=str(local),
        port=socket.port,
        source=str(source),
        implicit_tls=socket.implicit_tls,
        lmtp=choice is not None and choice.connector.protocol == "LMTP",
        header=header,
        xclient=xclient,
    )
    return _Plan(socket, local, stranger, choice.name if choice is not None else "", manner, call)


def _sources(local: IPAddress) -> Iterator[IPAddress]:
    """Addresses that this host can connect from."""
    if not local.is_loopback:
        yield local
    elif local.version == 6:
        yield parse_ip("::1")
    else:
        yield from (parse_ip(f"127.0.0.{number}") for number in (99, 177, 233, 61, 1, 2))


def _is_stranger(choice: Choice) -> bool:
    """Whether it was taken as anybody is."""
    found = choice.entry.range
    return is_wide(found) and not any(loopback.covers(found) for loopback in _LOOPBACK.values())


# -- in memory -------------------------------------------------------------------------------------------------------------


def _rehearsed(config: Config, plan: _Plan, now: float) -> Trial:
    stage = Stage(config, rules_of(config).acceptance, lambda name: None, now)
    door = Door(plan.socket, plan.local)
    outcomes = []
    for attempt in attempts(config, str(plan.local)):
        question = Question(client=str(plan.stranger), tls="any" if plan.socket.implicit_tls else "")
        asked = question.model_copy(update={"sender": attempt.sender, "recipients": (attempt.recipient,)})
        found = at_once(rehearse(stage, door, asked))
        reply = found.steps[-1].reply if found.steps else ""
        accepted = False
        for recipient, step, _ in found.asked:
            reply, accepted = step.reply, accepted or (recipient == attempt.recipient and step.ok)
        outcomes.append(Outcome(attempt, reply, accepted))
    return Trial(_name(plan.socket), plan.connector, plan.manner, tuple(outcomes))
