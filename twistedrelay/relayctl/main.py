"""C{relayctl}: see and change a relay from the command line.

It decides the verbs and the exit codes: 0 done, 1 refused or findings, 2 usage, 3 no daemon.
"""

from __future__ import annotations

import errno
import importlib
import io
import os
import sys

import click
from click.shell_completion import CompletionItem

import twistedrelay.relayctl.shells  # noqa: F401  (makes itself known)
from twistedrelay import __version__
from twistedrelay.relayctl.groups import Group
from twistedrelay.relayctl.session import DEFAULT_CONFIG, Failure, Session
from twistedrelay.relayctl.typed import remember_config

#: The verbs, with what `relayctl --help` says of them: help must not have to import them.
VERBS = {
    "audit": "What is dangerous, and the command that cures it.",
    "certificate": "Certificates that connectors show.",
    "check": "Check the configuration file, as the daemon does at its start.",
    "completion": "Print the completion for a shell: bash, zsh or fish.",
    "connector": "Receive connectors: who may connect where, and relay.",
    "diff": "What a new configuration would change.",
    "domain": "Accepted domains: which mail is taken from anybody.",
    "explain": "What would happen to a client, a sender, a recipient, and why.",
    "health": "Whether the daemon is fit for work, for monitoring.",
    "history": "The changes of the configuration: who, when, what.",
    "ledger": "Who uses this relay, what nobody uses, what a change would break.",
    "message": "Messages in the queue.",
    "permission": "Who may do what on which receive connector.",
    "queue": "Queues: the messages for each next hop.",
    "reload": "Let the daemon use what its configuration's files hold now.",
    "safety-net": "Delivered messages that are kept for some time, to send them again.",
    "send-connector": "Send connectors: where mail to outside goes, and its logins.",
    "send": "Send a test message and show each SMTP step.",
    "session": "SMTP sessions: those in progress, and the whole dialogue of one.",
    "status": "The relay as a whole.",
    "top": "Watch queues and sessions live.",
    "trace": "Watch sessions and messages while they happen.",
    "track": "What became of messages: the events of their lives, and their whole stories.",
    "undo": "Take a change of the configuration back.",
    "user": "Accounts that may log in.",
    "webhook": "Where events are posted to.",
}


_OTHER = "Restart the daemon, so that it is of this version too; what changes something may have been done: look before you do it again."


class Verbs(Group):
    """A group whose commands are imported when asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"twistedrelay.relayctl.verbs.{cmd_name.replace('-', '_')}").command
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run a verb; what it cannot say to a daemon, write to its output, or make of another version's answer, is no defect of ours."""
        remember_config(ctx, ctx.params["config"])
        try:
            return super().invoke(ctx)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            raise Failure(f"{error.filename or 'The output'} cannot be used: {error.strerror or error}.") from error
        except UnicodeEncodeError as error:
            if error.encoding != "utf-8":
                raise
            raise click.UsageError("An argument is no UTF-8 text.", ctx) from error
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            session = ctx.find_object(Session)
            if session is None or not (other := session.other_version()):
                raise
            raise Failure(
                f"The answer of the daemon is not understood: it is of version {other}, this is {__version__}.", _OTHER
            ) from error

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The verbs and options that begin so, without importing them."""
        found = [CompletionItem(name, help=text) for name, text in VERBS.items() if name.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of verbs, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


def _belongs_behind_the_verb(ctx: click.Context, parameter: click.Parameter, given: bool) -> None:
    if given:
        option = parameter.opts[0]
        raise click.UsageError(f"{option} belongs behind the verb, for instance: relayctl connector list {option}", ctx)


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="relayctl")
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(readable=False),
    envvar="RELAYCTL_CONFIG",
    default=DEFAULT_CONFIG,
    show_default=True,
    show_envvar=True,
    help="The relay's configuration; the control socket and the users file are found from it.",
)
@click.option("--json", is_flag=True, hidden=True, expose_value=False, callback=_belongs_behind_the_verb)
@click.option("--csv", is_flag=True, hidden=True, expose_value=False, callback=_belongs_behind_the_verb)
@click.pass_context
def cli(ctx: click.Context, config: str) -> None:
    """See and change a twistedrelay mail relay."""
    ctx.obj = Session(config)
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":  # https://no-color.org
        ctx.color = False


def main() -> None:
    """The entry point."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.encoding.lower() != "utf-8":
        sys.stdout.reconfigure(errors="backslashreplace")  # what a locale cannot show ends nothing
    cli(prog_name="relayctl")
