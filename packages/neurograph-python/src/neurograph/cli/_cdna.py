"""`cdna`: status, configure, set, profiles, switch, validate, quarantine, history, export, reset."""

from typing import Annotated, Any

import typer

from neurograph.cli._exits import ExitCode
from neurograph.cli._invocation import Invocation, connected
from neurograph.cli._output import fields_of
from neurograph.cli._values import json_argument

app = typer.Typer(help="Scales of the levels of a grid.", no_args_is_help=True, add_completion=False)
quarantine = typer.Typer(help="Trials of changes.", no_args_is_help=True, add_completion=False)
app.add_typer(quarantine, name="quarantine")

_Scales = Annotated[str, typer.Argument(metavar="SCALES", help="A JSON array of eight numbers, @file, or -.")]
_ProfileId = Annotated[str, typer.Argument(metavar="ID", help="explorer, analyzer, creative or quarantine.")]
_Curiosity = Annotated[float | None, typer.Option("--curiosity", help="Multiplies L2 and L5 of the profile.")]
_Novelty = Annotated[float | None, typer.Option("--novelty", help="Multiplies L3 and L8 of the profile.")]
_Affinity = Annotated[float | None, typer.Option("--affinity", help="Multiplies L4 and L6 of the profile.")]
_PROFILE_COLUMNS = ("id", "name", "scales", "restricted", "max_change", "current")
_HISTORY_COLUMNS = ("timestamp", "action", "details")


@app.command()
@connected
def status(invocation: Invocation) -> None:
    """Show scales, profile and quarantine."""
    found = invocation.client.cdna.status()
    shown = fields_of(found.cdna)
    shown["quarantine"] = fields_of(found.quarantine)
    invocation.output.thing({**shown, "history_count": found.history_count})


@app.command()
@connected
def configure(
    invocation: Invocation,
    profile: Annotated[str | None, typer.Option("--profile", help="Start from the scales of this profile.")] = None,
    curiosity: _Curiosity = None,
    novelty: _Novelty = None,
    affinity: _Affinity = None,
) -> None:
    """Set profile and factors. With --profile, factors that are not given are 1; without it, their levels stay."""
    from neurograph.models import CDNAConfig, CDNAUpdate

    named = {"curiosity_scale": curiosity, "novelty_scale": novelty, "affinity_scale": affinity}
    given = {name: value for name, value in named.items() if value is not None}
    if profile is None:
        state = invocation.client.cdna.update(CDNAUpdate(**given))
    else:
        state = invocation.client.cdna.configure(CDNAConfig.model_validate({"profile": profile, **given}))
    invocation.output.thing(fields_of(state))


@app.command("set")
@connected
def set_scales(invocation: Invocation, scales: _Scales) -> None:
    """Set all eight scales."""
    invocation.output.thing(fields_of(invocation.client.cdna.set_scales(json_argument(scales, "SCALES", list))))


@app.command()
@connected
def profiles(invocation: Invocation) -> None:
    """Show all profiles."""
    found = invocation.client.cdna.profiles()
    rows = ({**fields_of(one), "id": name, "current": name == found.current} for name, one in found.profiles.items())
    invocation.output.things(rows, _PROFILE_COLUMNS, "There are no profiles.")


@app.command()
@connected
def profile(invocation: Invocation, profile_id: _ProfileId) -> None:
    """Show one profile."""
    invocation.output.thing(fields_of(invocation.client.cdna.profile(profile_id)))


@app.command()
@connected
def switch(invocation: Invocation, profile_id: _ProfileId) -> None:
    """Switch to the scales of a profile."""
    invocation.output.thing(fields_of(invocation.client.cdna.switch(profile_id)))


@app.command()
@connected
def validate(invocation: Invocation, scales: _Scales) -> None:
    """Check scales; nothing is stored. Exit code 6 when they are not valid."""
    found = invocation.client.cdna.validate(json_argument(scales, "SCALES", list))
    invocation.output.thing(fields_of(found))
    if not found.valid:
        raise typer.Exit(ExitCode.REFUSED)


@quarantine.command("status")
@connected
def quarantine_status(invocation: Invocation) -> None:
    """Show the quarantine with its measures."""
    invocation.output.thing(fields_of(invocation.client.cdna.quarantine()))


@quarantine.command()
@connected
def start(
    invocation: Invocation,
    duration: Annotated[int, typer.Option("--duration", help="Seconds, 30 to 3600.")] = 300,
) -> None:
    """Start a quarantine: changes are taken back unless it is stopped with --apply."""
    invocation.output.thing(fields_of(invocation.client.cdna.start_quarantine(duration)))


@quarantine.command()
@connected
def stop(
    invocation: Invocation,
    apply: Annotated[bool, typer.Option("--apply", help="Keep the changes.")] = False,
) -> None:
    """Stop the quarantine, and restore the state from before unless --apply is given."""
    applied = invocation.client.cdna.stop_quarantine(apply)
    invocation.output.done({"applied": applied}, "changes kept" if applied else "state from before restored")


@app.command()
@connected
def history(
    invocation: Invocation, limit: Annotated[int, typer.Option("--limit", help="How many, 1 to 100.")] = 10
) -> None:
    """Show the newest actions, newest first."""
    rows = map(fields_of, invocation.client.cdna.history(limit).history)
    if not invocation.output.is_json:
        # Each action has fields of its own: a column for each would leave no room for any.
        rows = map(_summarised, rows)
    invocation.output.things(rows, _HISTORY_COLUMNS, "Nothing was changed yet.")


@app.command()
@connected
def export(invocation: Invocation) -> None:
    """Write scales and the newest 100 actions as JSON, to keep them elsewhere."""
    invocation.output.thing(invocation.client.cdna.export().data)


@app.command()
@connected
def reset(invocation: Invocation) -> None:
    """Return to the profile explorer, and forget the history; for administrators."""
    invocation.output.thing(fields_of(invocation.client.cdna.reset()))


def _summarised(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry of the history with the fields of its action in one."""
    timestamp, action = entry.pop("timestamp"), entry.pop("action")
    return {"timestamp": timestamp, "action": action, "details": entry}
