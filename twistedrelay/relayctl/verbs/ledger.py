"""C{relayctl ledger}: who uses this relay, what nobody uses, and what a change would break."""

from __future__ import annotations

import datetime
import math
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from twistedrelay.relayctl import completing
from twistedrelay.relayctl.filters import given_filters
from twistedrelay.relayctl.moments import When
from twistedrelay.relayctl.output import Row, format_options, print_rows
from twistedrelay.relayctl.session import Failure, Session, pass_session
from twistedrelay.values.netrange import IPRange
from twistedrelay.values.printable import escape

if TYPE_CHECKING:
    from twistedrelay.config.schema import Config

PAGE = 1000
LOOK_BACK = 90 * 86400.0  #: seconds that recorded clients are looked at

COLUMNS = ("connector", "client", "helo", "user", "sender_domain", "tls", "last_seen", "sessions", "messages", "refusals", "owner")
SPARE = ("refusals", "tls", "sender_domain", "sessions", "owner", "user")
TOTALS = ("identity", "connector", "clients", "first_seen", "last_seen", "sessions", "messages", "refusals", "owner")
TOTALS_SPARE = ("first_seen", "refusals", "sessions")
UNUSED = ("kind", "connector", "identity", "owner", "expires", "last_seen", "messages")
AFFECTED = (
    *("effect", "client", "helo", "user", "owner", "last_seen", "messages_per_day", "sender_domain", "recipient_domains"),
    *("old_connector", "new_connector", "what"),
)
TIMES = ("first_seen", "last_seen")


@click.command("ledger")
@click.option("--connector", metavar="NAME", shell_complete=completing.receive_connectors, help="Of this receive connector.")
@click.option("--client", metavar="RANGE", help="Of this IP address, or of this range.")
@click.option("--user", metavar="NAME", help="Of this login.")
@click.option("--helo", metavar="NAME", help="With this HELO name.")
@click.option("--sender-domain", metavar="DOMAIN", help="With mail of this domain.")
@click.option("--tls", metavar="VERSION", help="With this version of TLS, such as TLSv1.3.")
@click.option("--since", type=When(), help="Seen since this time (UTC), or in so long a time: 30d, today.")
@click.option("--unused-since", type=When(), help="Ranges and accounts of the configuration that nobody used since: 90d.")
@click.option(
    "--by", type=click.Choice(["client", "range", "user", "domain", "connector", "tls"]), help="Added up by what rows have in common."
)
@click.option("--without-range", metavar="RANGE", help="Who would be hurt if this range were taken out (of --connector, or of all).")
@click.option(
    "--minimum-tls",
    type=click.Choice(["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]),
    help="Who would be hurt if older versions were refused (by --connector, or by all).",
)
@click.option(
    "--without-connector",
    metavar="NAME",
    shell_complete=completing.receive_connectors,
    help="Who would be hurt if this connector were disabled.",
)
@click.option(
    "--require-login",
    metavar="NAME",
    shell_complete=completing.receive_connectors,
    help="Who would be hurt if this connector took nothing without a login.",
)
@format_options
@pass_session
@click.pass_context
def command(
    ctx: click.Context,
    session: Session,
    /,
    since: str | None,
    unused_since: str | None,
    by: str | None,
    without_range: str | None,
    minimum_tls: str | None,
    without_connector: str | None,
    require_login: str | None,
    style: str | None,
    **filters: str | None,
) -> None:
    """Say who uses this relay: each client with its HELO name, login, domain and TLS, and when it was last seen.

    With --unused-since: what nobody uses. With --without-range, --minimum-tls, --without-connector or --require-login: which of the clients
    seen since --since (90d) would be refused or fall to another connector; ends with 1 if there are any.

    \b
      relayctl ledger --connector IP_Relay --since 30d
      relayctl ledger --unused-since 90d
      relayctl ledger --minimum-tls TLSv1.3
    """
    given = given_filters(filters)
    thought = {
        "without_range": without_range,
        "minimum_tls": minimum_tls,
        "without_connector": without_connector,
        "require_login": require_login,
    }
    thoughts = given_filters(thought)
    if len(thoughts) + (unused_since is not None) + (by is not None) > 1:
        raise click.UsageError("These are different questions: ask one at a time.")
    if (thoughts and given.keys() - {"connector"}) or (unused_since and (given or since)):
        raise click.UsageError("This question goes without the other filters.")
    _range(given.get("client") or "")
    try:
        if thoughts:
            ctx.exit(_consequences(session, {**thoughts, **given}, since, style))
        if unused_since is not None:
            _unused(session, unused_since, style)
            return
        when = {"since": since} if since else {}
        if by is not None:
            _totals(session, {**given, **when, "by": by}, style)
            return
        found = [_shown(row, style) for row in _rows(session, {**given, **when})]
        print_rows(found, COLUMNS, style, SPARE, none="No client fits." if given or when else "")
    except sqlite3.Error as error:
        raise Failure(f"The ledger cannot be read: {error}.", "Run relayctl as root or the relay's user.") from error


def _range(text: str) -> IPRange | None:
    try:
        return IPRange.parse(text) if text else None
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None


def _seconds(text: str | None, default: float) -> float:
    return datetime.datetime.fromisoformat(text).timestamp() if text else default


def _query(given: dict[str, str]) -> Any:
    from twistedrelay.answers.ledger.ask import LedgerQuery

    texts = {name: value for name, value in given.items() if name not in ("client", "since", "by")}
    return LedgerQuery(client=_range(given.get("client", "")), since=_seconds(given.get("since"), 0.0), unused_since=math.inf, **texts)


def _asked(session: Session, path: str, query: dict[str, str], read: Callable[[Config], Any]) -> Any:
    """The daemon's answer, or without one the file's, as the daemon would have written it."""
    return session.daemon_or_file(lambda client: client.get(path, query), lambda config: read(config).model_dump(mode="json"))


def _rows(session: Session, given: dict[str, str]) -> Iterator[Row]:
    from twistedrelay.answers.ledger.ask import ask_page, ledger_of

    after, query = 0, _query(given)
    while True:
        asked = {**given, "limit": str(PAGE), "after": str(after)}
        found = _asked(session, "/v1/ledger", asked, lambda config: ask_page(config, query, PAGE, after, ledger_of(config)))  # noqa: B023
        yield from found["rows"]
        after = found["next"]
        if not after:
            _tell_bounds(found)
            return


def _totals(session: Session, given: dict[str, str], style: str | None) -> None:
    from twistedrelay.answers.ledger.ask import ask_totals, ledger_of

    query = _query(given)
    found = _asked(session, "/v1/ledger/totals", given, lambda config: ask_totals(config, query, given["by"], ledger_of(config)))
    print_rows([_shown(row, style) for row in found["totals"]], TOTALS, style, TOTALS_SPARE)
    _tell_bounds(found)


def _unused(session: Session, since: str, style: str | None) -> None:
    from twistedrelay.answers.ledger.ask import ask_unused, ledger_of

    found = _asked(
        session, "/v1/ledger/unused", {"since": since}, lambda config: ask_unused(config, _seconds(since, 0.0), ledger_of(config))
    )
    print_rows([_shown(row, style) for row in found["unused"]], UNUSED, style)
    _tell(found["notes"])


def _consequences(session: Session, given: dict[str, str], since: str | None, style: str | None) -> int:
    """What would break; the exit code."""
    from twistedrelay.answers.ledger.ask import ask_consequences, ledger_of
    from twistedrelay.answers.ledger.consequences import Thought, ThoughtError

    now = time.time()
    start = _seconds(since, now - LOOK_BACK)
    asked = {**given, "since": datetime.datetime.fromtimestamp(start, datetime.UTC).isoformat()}
    try:
        found = _asked(
            session,
            "/v1/ledger/consequences",
            asked,
            lambda config: ask_consequences(config, Thought(**given), start, now, ledger_of(config)),
        )
    except ThoughtError as error:
        raise Failure(f"{error}.") from error
    print_rows([_shown(row, style) for row in found["affected"]], AFFECTED, style)
    _tell(found["notes"])
    refused = sum(row["effect"] == "refused" for row in found["affected"])
    change = found["change"][:1].upper() + found["change"][1:]
    summary = f"{change}, {len(found['affected'])} of {found['looked_at']} recorded clients would get another answer"
    _tell([f"{summary}; {refused} would be refused." if found["affected"] else f"{summary}."])
    return 1 if found["affected"] else 0


def _shown(row: Row, style: str | None) -> Row:
    """In a table, times to the second and reasons as a text."""
    if style is not None:  # who it is comes first
        first = [name for name in (*COLUMNS, *UNUSED, *AFFECTED) if name in row and name not in TIMES]
        return {**{name: row[name] for name in first}, **row}
    cut = {name: (row[name] or "")[:19].replace("T", " ") for name in TIMES if name in row}
    if row.get("what"):
        cut["what"] = "; ".join(row["what"])
    return {**row, **cut}


def _tell_bounds(found: dict[str, Any]) -> None:
    notes = []
    if found.get("more"):
        notes.append(f"There are {found['more']} more, with fewer messages; see them with filters.")
    if found["began"] is None:
        notes.append("There is no ledger yet: the daemon begins it with the first client.")
    if found["folded"]:
        notes.append(f"There was no room for rows of their own {found['folded']} times: what is called (others) has it.")
    if found["dropped"]:
        notes.append(f"{found['dropped']} rows had to go before their time: the ledger is full.")
    _tell(notes)


def _tell(notes: list[str]) -> None:
    """Beside what programs read."""
    for note in notes:
        click.echo(escape(note), err=True)
