"""The command `neurograph-cli`: tokens, grids, CDNA, API keys and health from a terminal. Needs the extra `cli`."""

import sys


def main() -> None:
    """Entry point of the console script; ends the process with one of `neurograph.cli._exits.ExitCode`."""
    try:
        from neurograph.cli._app import run
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] not in ("typer", "rich"):
            raise
        sys.exit("neurograph-cli needs typer and rich: pip install 'neurograph-python[cli]'")
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(run())
