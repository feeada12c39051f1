"""How a verb gets a password: never from the command line, where other users and the shell's history would see it."""

from __future__ import annotations

import sys

import click


def read_password(from_stdin: bool, *, confirm: bool) -> str:
    """The first line of standard input, or what is typed at the terminal.

    @param confirm: ask twice.
    @raise click.UsageError: there is no terminal to ask.
    """
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise click.UsageError("There is no terminal to ask for the password; give it with --password-stdin.")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=confirm, err=True)
    return password
