"""C{relayctl completion}."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print what makes a shell complete verbs, options and names at the Tab key.

    \b
    bash: relayctl completion bash > /etc/bash_completion.d/relayctl
    zsh:  relayctl completion zsh > "${fpath[1]}/_relayctl"
    fish: relayctl completion fish > ~/.config/fish/completions/relayctl.fish
    """
    from twistedrelay.relayctl.main import cli

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "relayctl", "_RELAYCTL_COMPLETE").source())
