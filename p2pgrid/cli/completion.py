"""`p2pgrid completion`: the shell's own completion of our commands and options."""

import click
from click.shell_completion import get_completion_class

from p2pgrid.cli.output import EXIT_STATUS


@click.command(epilog=EXIT_STATUS)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    Examples:
      p2pgrid completion bash > /etc/bash_completion.d/p2pgrid
      p2pgrid completion zsh > ~/.zfunc/_p2pgrid
      p2pgrid completion fish > ~/.config/fish/completions/p2pgrid.fish
    """
    cls = get_completion_class(shell)
    assert cls is not None, f"click knows no {shell}"
    click.echo(cls(ctx.find_root().command, {}, "p2pgrid", "_P2PGRID_COMPLETE").source())
