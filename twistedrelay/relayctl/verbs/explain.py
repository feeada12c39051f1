"""C{relayctl explain}: by the running daemon, or by the file where none runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from twistedrelay.config.units import size
from twistedrelay.control.client import NoDaemon, Refused
from twistedrelay.relayctl.output import print_json
from twistedrelay.relayctl.session import Failure, Findings, Session, pass_session
from twistedrelay.relayctl.tables import folded
from twistedrelay.relayctl.typed import typed

if TYPE_CHECKING:
    from twistedrelay.answers.explain.document import Explanation
    from twistedrelay.answers.explain.question import Question

#: How --tls may be written.
_VERSIONS = {
    "": "",
    "any": "any",
    **{spelling: f"TLSv{number}" for number in ("1.1", "1.2", "1.3") for spelling in (number, f"tlsv{number}", f"tls{number}")},
    **dict.fromkeys(("1.0", "1", "tlsv1", "tlsv1.0", "tls1", "tls1.0"), "TLSv1"),
}

#: How a story is painted.
COLOURS: dict[str, dict[str, Any]] = {"good": {"fg": "green"}, "bad": {"fg": "red"}, "dim": {"dim": True}, "title": {"bold": True}}


class Octets(click.ParamType[int]):
    """A size as the configuration has it."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Its octets."""
        try:
            return size(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Version(click.ParamType[str]):
    """A version of TLS."""

    name = "version"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """As OpenSSL names it."""
        found = _VERSIONS.get(str(value).lower())
        if found is None:
            self.fail(f"{value} is no version of TLS; allowed: any, 1.0, 1.1, 1.2, 1.3", param, ctx)
        return found


@click.command("explain")
@click.option("--from", "client", metavar="ADDRESS", required=True, help="The client's IP address.")
@click.option("--to", metavar="PLACE", default=":25", show_default=True, help="Where to: :25, 192.0.2.1:25, or a connector's name.")
@click.option("--through", metavar="ADDRESS", help="A load balancer that connects for it, with a PROXY header.")
@click.option("--tls", type=Version(), is_flag=False, flag_value="any", default="", help="With TLS: any version, or the one given.")
@click.option("--auth", "user", metavar="USER", default="", help="It logs in as USER; the password counts as right.")
@click.option("--group", "groups", metavar="NAME", multiple=True, help="A group that a directory puts USER into; more than once.")
@click.option("--ehlo", "helo", metavar="NAME", default="client.invalid", help="Its name in EHLO.")
@click.option("--mail", "sender", metavar="ADDRESS", default="", help="MAIL FROM; <> without it.")
@click.option("--rcpt", "recipients", metavar="ADDRESS", multiple=True, help="RCPT TO; more than once.")
@click.option("--size", type=Octets(), help="Size of the message: octets, or as 20MB.")
@click.option("--requiretls", "require_tls", is_flag=True, help="MAIL has REQUIRETLS.")
@click.option("--resolve", is_flag=True, help="Ask the DNS for the next hops, too.")
@click.option("--offline", is_flag=True, help="By the file, also where a daemon runs.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole answer as JSON.")
@pass_session
@click.pass_context
def command(ctx: click.Context, session: Session, /, offline: bool, as_json: bool, **asked: Any) -> None:
    """Explain what would happen to a client, a sender, recipients, and why.

    Which receive connector takes the client, which rights the session has and where they come from, the reply to each command, the route of
    each recipient, the limits. Nothing is sent and nothing changes. Asks the daemon, or the file where none runs. Ends with 1 where
    something would be refused.

    \b
      relayctl explain --from 192.168.1.55 --rcpt someone@example.org
    """
    from twistedrelay.answers.explain.text import story

    question = _question(asked)
    told = None if offline else _of_daemon(session, question)
    told = told or _of_file(session, question)
    if as_json:
        print_json(told.model_dump(mode="json"))
    else:
        for line in story(told, lambda text, colour: click.style(text, **COLOURS[colour])):
            click.echo(folded(typed(line)))
    ctx.exit(0 if told.accepted else 1)


def _question(asked: dict[str, Any]) -> Question:
    from pydantic import ValidationError

    from twistedrelay.answers.explain.question import Question

    options = {"client": "--from", "user": "--auth", "helo": "--ehlo", "sender": "--mail", "recipients": "--rcpt", "groups": "--group"}
    try:
        return Question(**asked)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        said = first["msg"].removeprefix("Value error, ")
        raise click.BadParameter(said, param_hint=options.get(key, f"--{key}")) from None


def _of_daemon(session: Session, question: Question) -> Explanation | None:
    """None where none runs."""
    from twistedrelay.answers.explain.document import Explanation

    try:
        return Explanation.model_validate(session.client.post("/v1/explain", question.model_dump(mode="json")))
    except NoDaemon as error:
        if not error.absent:
            click.echo(f"{error} The file answers.", err=True)
        return None
    except Refused as error:
        raise Failure(str(error)) from error


def _of_file(session: Session, question: Question) -> Explanation:
    from twistedrelay.answers.explain.alone import RULE_CHECKS, explain_file
    from twistedrelay.answers.explain.question import QuestionError
    from twistedrelay.config.load import load_with_places
    from twistedrelay.config.problems import ConfigError

    session.need_file()
    try:
        return explain_file(load_with_places(session.config_file, RULE_CHECKS), question, time.time())
    except ConfigError as error:
        raise Findings([str(problem) for problem in error.problems]) from error
    except QuestionError as error:
        raise Failure(str(error)) from error
