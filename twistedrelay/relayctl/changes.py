"""Changes that verbs make: by the daemon, which puts them in force at once, or in the files where none runs.

It decides who writes.  A daemon that may write its configuration does it.  Where it may not (files of root's are the usual case), it checks
the change and says what it would do, relayctl writes the files, and tells the daemon to reload; what it refuses then is put back.  A daemon
that runs and cannot be asked is never passed by.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import pwd
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import attrs
import click

from twistedrelay.answers.connectors import closed_ports
from twistedrelay.config import edit_change as changes
from twistedrelay.config.edit import EditError, NoSuchObject
from twistedrelay.config.edit_write import NotWritable, check_rights, one_at_a_time
from twistedrelay.config.history import History
from twistedrelay.config.load import load_with_places
from twistedrelay.config.problems import ConfigError, path_text
from twistedrelay.control.client import ControlClient, NoDaemon, Refused
from twistedrelay.relayctl.key_options import option_for
from twistedrelay.relayctl.session import DaemonNeeded, Failure, Session, place_of
from twistedrelay.relayctl.typed import typed
from twistedrelay.values.printable import escape

#: Who asked and got no answer does not know what became of it: what the daemon has begun it does to its end.
UNSURE = "It may have been changed all the same: see `relayctl history`."
_UNSURE = (HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.GATEWAY_TIMEOUT)

#: Asks the daemon for the change, with a query.
Ask = Callable[[ControlClient, Mapping[str, str]], Any]

#: Plans it on the files, from the main file.
Plan = Callable[[str], changes.Change]


@attrs.frozen
class About:
    """What a change is about, so that what is wrong with it can be said in the command's own terms.

    @ivar section: with C{name}: the object; empty where it is no single one.
    """

    section: str = ""
    name: str = ""

    def wrong(self, path: Sequence[str | int], text: str, place: str) -> str:
        """A problem: at the option that it is about, where there is one."""
        mine = path[:1] == [self.section] and len(path) > 1 and str(path[1]).casefold() == self.name.rpartition("\\")[2].casefold()
        option = option_for(self.section, path[2:]) if mine else ""
        if mine:
            where = path_text(tuple(path[2:]))
            return f"{option} ({where}): {text}" if option and where.count("[") else f"{option or where or self.name}: {text}"
        return ": ".join(part for part in (place, path_text(tuple(path)), text) if part)


def make(session: Session, ask: Ask, plan: Plan, about: About, what_if: bool) -> None:
    """Make a change and say what was done, or what would be.

    @raise click.ClickException: it was refused, and nothing is changed.
    """
    try:
        answer = ask(session.client, {"what_if": "true"} if what_if else {})
    except NoDaemon as error:
        if not error.absent:
            raise DaemonNeeded(str(error), UNSURE if error.heard and not what_if else "Nothing was changed.") from error
        answer = _in_files(session, plan, about, what_if)
    except Refused as error:
        if error.status != HTTPStatus.FORBIDDEN:
            raise _refused(error, about) from error
        answer = _beside(session, ask, plan, about)
    except KeyboardInterrupt:
        raise Failure("Interrupted.", "Nothing was changed." if what_if else UNSURE) from None
    _tell(answer)


def _beside(session: Session, ask: Ask, plan: Plan, about: About) -> dict[str, Any]:
    """Write what the daemon has checked and may not write, and let it reload."""
    try:
        answer: dict[str, Any] = ask(session.client, {"what_if": "true"})
    except NoDaemon as error:
        raise DaemonNeeded(str(error), "Nothing was changed.") from error
    except Refused as error:
        raise _refused(error, about) from error
    main, history = os.path.abspath(session.config_file), History(session.config.server.state_directory)
    with _planned(session, plan, about, history, what_if=False) as change:
        if change.files != answer["files"]:
            raise Failure(f"The daemon on {session.client.path} runs with another file than {main}.", "Name its file with --config.")
        entry = changes.write(change, main, history, acting_user(), datetime.datetime.now(datetime.UTC))
        try:
            answer["changes"] = session.client.post("/v1/reload")["changes"]
        except (NoDaemon, Refused) as error:
            changes.take_back(entry, main, history)
            unsure = "; `relayctl reload` makes sure that the daemon has them." if getattr(error, "heard", False) else "."
            raise Failure(f"The daemon did not take it: {error}", f"The files are as they were{unsure}") from error
        except KeyboardInterrupt:
            advice = f"`relayctl reload` lets the daemon read it, `relayctl undo {entry.id}` takes it back."
            raise Failure(f"Interrupted: it is written as change {entry.id} of the history.", advice) from None
    return {**answer, "what_if": False, "id": entry.id, "who": entry.who}


def _in_files(session: Session, plan: Plan, about: About, what_if: bool) -> dict[str, Any]:
    """Make the change without a daemon, with the same checks."""
    main, history = os.path.abspath(session.config_file), History(session.config.server.state_directory)
    answer: dict[str, Any] = {"what_if": what_if, "who": acting_user(), "no_daemon": True}
    with _planned(session, plan, about, history, what_if) as change:
        answer |= _checked(session, change)
        if change.files and not what_if:
            answer["id"] = changes.write(change, main, history, answer["who"], datetime.datetime.now(datetime.UTC)).id
    return answer


@contextlib.contextmanager
def _planned(session: Session, plan: Plan, about: About, history: History, what_if: bool) -> Iterator[changes.Change]:
    """The change, and nobody else makes one meanwhile, where it is to be written: who comes second builds on the first.

    @raise click.ClickException: for what is wrong with it, here or in the work on it.
    """
    main = os.path.abspath(session.config_file)
    try:
        changes.settle(main, history)
        change = plan(main)
        if what_if or not change.files:
            yield change
            return
        check_rights(change.plan.after)
        with one_at_a_time(history.directory):
            yield plan(main)
    except ConfigError as error:
        wrong = [about.wrong(list(one.path), one.text, one.place) for one in error.problems]
        raise _Rejected(wrong) from error
    except NoSuchObject as error:
        raise Failure(str(error), f"{error.advice}\nNothing was changed.") from error
    except NotWritable as error:
        raise _may_not(error.directory) from error
    except EditError as error:
        raise Failure(str(error)) from error


def _checked(session: Session, change: changes.Change) -> dict[str, Any]:
    from twistedrelay.answers.check import CHECKS, warnings  # which imports much that a daemon has already

    loaded = load_with_places(session.config_file, CHECKS, change.plan.after)
    known = {problem.text for problem in warnings(load_with_places(session.config_file))}
    new = [str(problem) for problem in warnings(loaded) if problem.text not in known]
    said = [*closed_ports(session.config, loaded.config), *new]
    return {"what": change.what, "files": change.files, "diff": change.diff, "warnings": said}


def acting_user() -> str:
    """Who makes the change: the system's user, and whom sudo says it is."""
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    sudo = os.environ.get("SUDO_USER", "") if uid == 0 else ""
    return f"{sudo} ({name})" if sudo and sudo.isprintable() else name


def _refused(error: Refused, about: About) -> click.ClickException:
    if not error.findings:
        return Failure(str(error), UNSURE if error.status in _UNSURE else "Nothing was changed.")
    return _Rejected([about.wrong(one["steps"], one["text"], place_of(one)) for one in error.findings])


class _Rejected(Failure):
    """A configuration that cannot be used: a line for each thing that is wrong."""

    def __init__(self, wrong: list[str]) -> None:
        super().__init__("; ".join(wrong), "Nothing was changed.")
        self._wrong = wrong

    def format_message(self) -> str:
        """The lines and the advice."""
        return "\n".join([*map(escape, self._wrong), self.advice])


def _may_not(directory: str) -> Failure:
    advice = "Run it as root (`sudo relayctl …`), or as a user who may write the configuration."
    if os.geteuid() == 0:
        advice = f"Not even root may: is it mounted read-only, or immutable?  See `findmnt -T {shlex.quote(directory)}` and `lsattr -d`."
    return Failure(f"{directory}: you may not write there.", f"Nothing was changed.  {advice}")


# -- what is said --------------------------------------------------------------------------------------------------------


def _tell(answer: Mapping[str, Any]) -> None:
    if not answer["files"]:
        click.echo(escape(f"Nothing to change: it is so already ({answer['what']})."))
        return
    if answer["what_if"]:
        click.echo(escape(f"What if: {answer['what']}"))
        show_diff(answer["diff"])
    else:
        click.echo(escape(f"Done: {answer['what']}"))
    heading = "It would change in the running relay:" if answer["what_if"] else "Changed in the running relay:"
    _list(heading, answer.get("changes"))
    _list("Only read at a start, so it waits for a restart:", answer.get("needs_restart"))
    _list("Mind:", answer.get("warnings"))
    if answer["what_if"]:
        return
    if answer.get("no_daemon"):
        click.echo("No daemon runs; the next one starts with it.")
    click.echo(typed(f"It is change {answer['id']} of the history; `relayctl undo {answer['id']}` takes it back."))


def _list(heading: str, lines: Sequence[str] | None) -> None:
    if lines:
        click.echo(heading)
        for line in lines:
            click.echo(escape(f"  {line}"))


def show_diff(text: str) -> None:
    """A unified diff, in colours on a terminal."""
    for line in text.splitlines():
        colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
        plain = "\t".join(map(escape, line.split("\t")))
        click.secho(plain, fg=colour, bold=line.startswith(("+++", "---")))
