"""Commands on a data directory whose server is stopped: find damage, repair it, measure the recall."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.errors import DomainError, StartupError

if TYPE_CHECKING:
    from vectrograph.engines.embedded import EmbeddedEngine

SOUND, DAMAGED, UNUSABLE = 0, 1, 2
"""Exit codes: nothing is wrong, something is, the directory cannot be opened."""

_Directory = Annotated[Path, typer.Argument(metavar="DIR", help="Data directory; its server must be stopped.")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of lines.")]


def verify(directory: _Directory, as_json: _Json = False) -> None:
    """Read all data of a data directory and compare checksums.

    Exit code 0: no damage. 1: damage was found. 2: the directory cannot be opened.
    """
    _run(MaintenanceTask.VERIFY, directory, as_json)


def repair(directory: _Directory, as_json: _Json = False) -> None:
    """Rebuild damaged indexes, and copy all readable data of damaged collections; the damaged files are kept.

    Exit code 0: no data was lost. 1: data was lost, or a collection cannot be read at all. 2: the directory cannot be
    opened.
    """
    _run(MaintenanceTask.REPAIR, directory, as_json)


def recall(directory: _Directory, as_json: _Json = False) -> None:
    """Measure the recall: compare searches of each collection with exact searches.

    Exit code 0: the recall target is met. 1: it is not, or a collection is damaged. 2: the directory cannot be opened.
    """
    _run(MaintenanceTask.MEASURE_RECALL, directory, as_json)


def _run(task: MaintenanceTask, directory: Path, as_json: bool) -> None:
    try:
        engine = _opened(directory)
        try:
            report = engine.maintain(task)
        finally:
            engine.close()
    except (StartupError, DomainError) as error:
        _refuse(str(error))
    if as_json:
        told = {"task": task.value, "sound": report.healthy, "collections": dict(report.details)}
        typer.echo(json.dumps(told, indent=1, default=str))
    else:
        for name, found in sorted(report.details.items()):
            typer.echo(f"{name}: {found if isinstance(found, str) else json.dumps(found, default=str)}")
        typer.echo("no problems found" if report.healthy else "problems found")
    raise typer.Exit(SOUND if report.healthy else DAMAGED)


def _opened(directory: Path) -> "EmbeddedEngine":
    from vectrograph.engines.embedded import EmbeddedEngine
    from vectrograph.engines.embedded.disk.ballast import FILE_NAME
    from vectrograph.engines.embedded.engine import require_data_directory

    root = require_data_directory(directory)
    ballast = root / FILE_NAME
    # The server's ballast stays as it is: this command does not know the setting.
    return EmbeddedEngine.open(root, ballast_bytes=ballast.stat().st_size if ballast.is_file() else 0)


def _refuse(problem: str) -> NoReturn:
    typer.echo(f"vectrograph: {problem}", err=True)
    raise typer.Exit(UNUSABLE)
