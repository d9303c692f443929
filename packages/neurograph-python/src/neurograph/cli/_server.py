"""Commands about the server: `health` and `status`."""

import typer

from neurograph.cli._exits import ExitCode
from neurograph.cli._invocation import Invocation, connected
from neurograph.cli._output import fields_of


@connected
def health(invocation: Invocation) -> None:
    """Check the health of the server. Needs no credentials; exit code 9 if it is not healthy."""
    found = invocation.client.health.check()
    invocation.output.thing(fields_of(found))
    if found.status != "healthy":
        raise typer.Exit(ExitCode.SERVER_FAILED)


@connected
def status(invocation: Invocation) -> None:
    """Show the status and counters of the server."""
    invocation.output.thing(fields_of(invocation.client.health.status()))
