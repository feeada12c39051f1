"""Filters on a command line: those that are given.

An empty one, as by a script's variable that is not set, is a mistake: it must not mean everything.
"""

from __future__ import annotations

from collections.abc import Mapping

import click


def given_filters(options: Mapping[str, str | None]) -> dict[str, str]:
    """The options that are given, by their names.

    @raise click.UsageError: one is empty.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for name, value in given.items():
        if not value.strip():
            raise click.UsageError(f"--{name.replace('_', '-')} is empty; leave it out to see all.")
    return given


def not_empty(ctx: click.Context, parameter: click.Parameter, given: str | None) -> str | None:
    """An option that chooses, where it is given.  A callback for click."""
    if given is not None and not given.strip():
        raise click.BadParameter("it is empty, and must not mean all.", ctx, parameter)
    return given
