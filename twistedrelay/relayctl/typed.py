"""Commands that are printed to be typed: who named a configuration has to name it again.

It decides what a command line is: C{relayctl} and a verb behind a backquote, or at the beginning of a line.  Helps and what programs read
stay as they are.
"""

from __future__ import annotations

import re
import shlex

import click
from click.core import ParameterSource

_COMMAND = re.compile(r"(?:^|(?<=`))relayctl (?=[a-z])", re.MULTILINE)
_KEY = __name__


def remember_config(ctx: click.Context, file: str) -> None:
    """The configuration of this call, given by C{--config} or the environment, which a terminal of tomorrow does not have."""
    if ctx.get_parameter_source("config") is not ParameterSource.DEFAULT:
        ctx.meta[_KEY] = f"--config {shlex.quote(file)}"


def typed(text: str) -> str:
    """A text whose commands can be typed as they are."""
    context = click.get_current_context(silent=True)
    option = context.meta.get(_KEY) if context is not None else None
    return text if option is None else _COMMAND.sub(lambda _: f"relayctl {option} ", text)
