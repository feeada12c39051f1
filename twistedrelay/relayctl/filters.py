"""Filters on a command line: those that are given."""

from __future__ import annotations

from collections.abc import Mapping

import click


def given_filters(options: Mapping[str, str | None]) -> dict[str, str]:
    """The options that are given, by their names.

    @raise click.UsageError: one is empty, as by a script's variable that is not set: it must not mean everything.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for name, value in given.items():
        if not value.strip():
            raise click.UsageError(f"--{name.replace('_', '-')} is empty; leave it out to see all.")
    return given
