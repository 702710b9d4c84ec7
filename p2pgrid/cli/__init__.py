"""The `p2pgrid` command. One module per noun; each command is one screen of code."""

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="p2pgrid")
def main() -> None:
    """Run and use a grid node."""
