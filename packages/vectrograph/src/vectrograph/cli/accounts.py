"""Commands of the operator: the first administrator, accounts, the audit record. They need no running server."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vectrograph.domain.errors import DomainError, StartupError
from vectrograph.settings import ENV_PREFIX, Settings

if TYPE_CHECKING:
    from vectrograph.cli.operator import OperatorDesk

PASSWORD_VARIABLE = f"{ENV_PREFIX}PASSWORD"

users = typer.Typer(help="Accounts of a data directory.", no_args_is_help=True, add_completion=False)

accounts = typer.Typer(
    help="The database of accounts: its copies, and what to do when it is lost.",
    no_args_is_help=True,
    add_completion=False,
)

_Data = Annotated[Path | None, typer.Option("--data", help="Data directory of the server.")]
_ControlUrl = Annotated[str | None, typer.Option("--control-url", help="URL of the accounts, if elsewhere.")]
_PasswordFile = Annotated[
    Path | None,
    typer.Option("--password-file", help=f"First line is the password; else {PASSWORD_VARIABLE}, else a random one."),
]
_Username = Annotated[str, typer.Argument(help="Of the account.")]
_Role = Annotated[str, typer.Option("--role", help="admin, developer, viewer or bot.")]


@contextmanager
def _told() -> Iterator[None]:
    """End the command with one line when it fails."""
    try:
        yield
    except (StartupError, DomainError) as error:
        typer.echo(f"vectrograph: {error}", err=True)
        raise typer.Exit(1) from error


@contextmanager
def _desk(data: Path | None, control_url: str | None) -> Iterator[tuple["OperatorDesk", Any]]:
    from vectrograph.app import control_url as url_of
    from vectrograph.app import prepare_data_directory
    from vectrograph.cli.operator import OPERATOR, operator_desk

    with _told():
        settings = Settings.load(data=data, control_url=control_url)
        prepare_data_directory(settings.data)
        with operator_desk(url_of(settings), settings.data) as desk:
            yield desk, OPERATOR


def _chosen_password(file: Path | None) -> tuple[str, bool]:
    """Return the password given by file or variable, or a random one, and whether it is that."""
    from vectrograph.cli.operator import random_password

    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise StartupError(f"Cannot read the password file {file}: {error}.") from error
        return (lines or [""])[0], False
    given = os.environ.get(PASSWORD_VARIABLE)
    return (random_password(), True) if given is None else (given, False)


def _say_password(password: str, is_random: bool) -> None:
    if is_random:
        typer.echo(f"password: {password}")
        typer.echo("It is shown here and nowhere else.", err=True)


def init(
    data: _Data = None,
    control_url: _ControlUrl = None,
    username: Annotated[str, typer.Option("--username", help="Of the first administrator.")] = "admin",
    password_file: _PasswordFile = None,
) -> None:
    """Make the first administrator of a new data directory."""
    with _desk(data, control_url) as (desk, operator):
        if desk.store.has_users():
            raise StartupError("There are accounts already; use `vectrograph users`.")
        password, is_random = _chosen_password(password_file)
        desk.users.create(operator, username=username, password=password, role="admin")
        typer.echo(f"created the administrator {username}")
        _say_password(password, is_random)


@users.command("list")
def list_users(data: _Data = None, control_url: _ControlUrl = None) -> None:
    """Show all accounts: username, role, tenant, state."""
    with _desk(data, control_url) as (desk, operator):
        for user in desk.users.list(operator):
            typer.echo(f"{user.username}\t{user.role}\t{user.tenant}\t{'disabled' if user.disabled else 'enabled'}")


@users.command("create")
def create(
    username: _Username,
    role: _Role = "viewer",
    email: Annotated[str | None, typer.Option("--email", help="Of its owner.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Whose collections it sees.")] = None,
    password_file: _PasswordFile = None,
    data: _Data = None,
    control_url: _ControlUrl = None,
) -> None:
    """Make an account."""
    with _desk(data, control_url) as (desk, operator):
        password, is_random = _chosen_password(password_file)
        desk.users.create(operator, username=username, password=password, role=role, email=email, tenant=tenant)
        typer.echo(f"created {username}")
        _say_password(password, is_random)


@users.command("disable")
def disable(username: _Username, data: _Data = None, control_url: _ControlUrl = None) -> None:
    """End an account's sessions and keys at once, until it is enabled again."""
    with _desk(data, control_url) as (desk, operator):
        desk.users.set_disabled(operator, desk.user_id(username), True)
        typer.echo(f"disabled {username}")


@users.command("enable")
def enable(username: _Username, data: _Data = None, control_url: _ControlUrl = None) -> None:
    """Let a disabled account in again."""
    with _desk(data, control_url) as (desk, operator):
        desk.users.set_disabled(operator, desk.user_id(username), False)
        typer.echo(f"enabled {username}")


@users.command("delete")
def delete(username: _Username, data: _Data = None, control_url: _ControlUrl = None) -> None:
    """Remove an account with its sessions and keys."""
    with _desk(data, control_url) as (desk, operator):
        desk.users.delete(operator, desk.user_id(username))
        typer.echo(f"deleted {username}")


@users.command("set-role")
def set_role(
    username: _Username,
    role: Annotated[str, typer.Argument(help="admin, developer, viewer or bot.")],
    data: _Data = None,
    control_url: _ControlUrl = None,
) -> None:
    """Give an account another role, effective at once."""
    with _desk(data, control_url) as (desk, operator):
        desk.users.set_role(operator, desk.user_id(username), role)
        typer.echo(f"{username} is {role} now")


@users.command("set-password")
def set_password(
    username: _Username, password_file: _PasswordFile = None, data: _Data = None, control_url: _ControlUrl = None
) -> None:
    """Give an account a new password and end its sessions at once."""
    with _desk(data, control_url) as (desk, operator):
        password, is_random = _chosen_password(password_file)
        desk.users.set_password(operator, desk.user_id(username), password)
        typer.echo(f"changed the password of {username}")
        _say_password(password, is_random)


def audit(
    limit: Annotated[int, typer.Option("--limit", help="How many entries, newest first.")] = 100,
    before: Annotated[int | None, typer.Option("--before", help="Only entries with a smaller number.")] = None,
    data: _Data = None,
    control_url: _ControlUrl = None,
) -> None:
    """Show the audit record: number, time, actor, action, target, outcome, address, request id."""
    with _desk(data, control_url) as (desk, operator):
        for entry in desk.audit.list(operator, limit=limit, before=before):
            at = datetime.fromtimestamp(entry.at / 1_000_000, UTC).isoformat(timespec="milliseconds")
            # Control characters in a target would let whoever chose it forge lines.
            target = entry.target.encode("unicode_escape").decode("ascii")
            fields = (entry.entry_id, at, entry.actor or "-", entry.action, target or "-", entry.outcome)
            typer.echo("\t".join(map(str, (*fields, entry.address or "-", entry.request_id or "-"))))


@accounts.command("copies")
def list_copies(data: _Data = None, control_url: _ControlUrl = None) -> None:
    """Show the copies of the accounts: time, state, file."""
    from vectrograph.app import control_url as url_of
    from vectrograph.cli.operator import copies_of_accounts

    with _told():
        settings = Settings.load(data=data, control_url=control_url)
        for copy, whole in copies_of_accounts(url_of(settings), settings.data):
            typer.echo(f"{copy.when}\t{'whole' if whole else 'damaged'}\t{copy.path}")


@accounts.command("restore")
def restore(
    copy: Annotated[Path | None, typer.Option("--copy", help="Which copy; the newest whole one unless given.")] = None,
    revoke_keys: Annotated[
        bool, typer.Option("--revoke-keys", help="Revoke every API key: some may have been revoked since the copy.")
    ] = False,
    data: _Data = None,
    control_url: _ControlUrl = None,
) -> None:
    """Bring back the accounts from a copy, while no server runs. Everyone has to log in again."""
    from vectrograph.app import control_url as url_of
    from vectrograph.cli.operator import restore_accounts

    with _told():
        settings = Settings.load(data=data, control_url=control_url)
        done = restore_accounts(url_of(settings), settings.data, copy, revoke_keys=revoke_keys)
    typer.echo(f"restored the accounts as they were at {done.copy.when}; all sessions are ended")
    if done.replaced is not None:
        typer.echo(f"what was there is now {done.replaced}")
    if done.missing == 0:
        typer.echo("nothing that was acknowledged is missing")
        return
    count = "changes" if done.missing is None else f"{done.missing} changes (sessions and audit entries among them)"
    typer.echo(
        f"{count} made after that time may be missing: accounts, keys, passwords, entries of the audit record. "
        f"Keys that were revoked and accounts that were disabled or deleted since are in force again: "
        f"{done.keys} API keys are in force.",
        err=True,
    )
    if not revoke_keys:
        typer.echo("To be safe, run it again with --revoke-keys, or look through `vectrograph users list`.", err=True)


@accounts.command("accept")
def accept(data: _Data = None, control_url: _ControlUrl = None) -> None:
    """Go on with the accounts as they are: a backup of your own was put in place, or there are to be none."""
    from vectrograph.app import control_url as url_of
    from vectrograph.cli.operator import accept_accounts

    with _told():
        settings = Settings.load(data=data, control_url=control_url)
        there = accept_accounts(url_of(settings), settings.data)
    typer.echo("the accounts are taken as they are" if there else "the next start begins without accounts")


def rotate_signing_key(data: _Data = None) -> None:
    """Sign with a new key from the next start on; tokens of the key before it stay good until they are over."""
    from vectrograph.app import SECRET_FILE
    from vectrograph.control.signing import rotate_secret

    try:
        rotate_secret(Settings.load(data=data).data / SECRET_FILE)
    except StartupError as error:
        typer.echo(f"vectrograph: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo("a new signing key is in force from the next start on")
