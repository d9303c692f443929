"""Commands of the operator: the first administrator, accounts, the audit log. They need no running server."""

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
    help="Copies of the account database, and its recovery.",
    no_args_is_help=True,
    add_completion=False,
)

_Data = Annotated[Path | None, typer.Option("--data", help="Data directory of the server.")]
_ControlUrl = Annotated[
    str | None, typer.Option("--control-url", help="URL of the account database, if it is not in the data directory.")
]
_PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file", help=f"File whose first line is the password. Default: {PASSWORD_VARIABLE}, else random."
    ),
]
_Username = Annotated[str, typer.Argument(help="Name of the account.")]
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
        typer.echo("This password is not shown again.", err=True)


def init(
    data: _Data = None,
    control_url: _ControlUrl = None,
    username: Annotated[str, typer.Option("--username", help="Name of the first administrator.")] = "admin",
    password_file: _PasswordFile = None,
) -> None:
    """Create the first administrator of a new data directory."""
    with _desk(data, control_url) as (desk, operator):
        if desk.store.has_users():
            raise StartupError("Accounts exist already; use `vectrograph users`.")
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
    email: Annotated[str | None, typer.Option("--email", help="Email address of its owner.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Tenant whose collections it can access.")] = None,
    password_file: _PasswordFile = None,
    data: _Data = None,
    control_url: _ControlUrl = None,
) -> None:
    """Create an account."""
    with _desk(data, control_url) as (desk, operator):
        password, is_random = _chosen_password(password_file)
        desk.users.create(operator, username=username, password=password, role=role, email=email, tenant=tenant)
        typer.echo(f"created {username}")
        _say_password(password, is_random)


@users.command("disable")
def disable(username: _Username, data: _Data = None, control_url: _ControlUrl = None) -> None:
    """Disable an account: its sessions and API keys stop working at once."""
    with _desk(data, control_url) as (desk, operator):
        desk.users.set_disabled(operator, desk.user_id(username), True)
        typer.echo(f"disabled {username}")


@users.command("enable")
def enable(username: _Username, data: _Data = None, control_url: _ControlUrl = None) -> None:
    """Enable a disabled account."""
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
    """Change the role of an account; takes effect at once."""
    with _desk(data, control_url) as (desk, operator):
        desk.users.set_role(operator, desk.user_id(username), role)
        typer.echo(f"changed the role of {username} to {role}")


@users.command("set-password")
def set_password(
    username: _Username, password_file: _PasswordFile = None, data: _Data = None, control_url: _ControlUrl = None
) -> None:
    """Set the password of an account, and end its sessions at once."""
    with _desk(data, control_url) as (desk, operator):
        password, is_random = _chosen_password(password_file)
        desk.users.set_password(operator, desk.user_id(username), password)
        typer.echo(f"changed the password of {username}")
        _say_password(password, is_random)


def audit(
    limit: Annotated[int, typer.Option("--limit", help="Maximum number of entries, newest first.")] = 100,
    before: Annotated[int | None, typer.Option("--before", help="Only entries with a smaller number.")] = None,
    data: _Data = None,
    control_url: _ControlUrl = None,
) -> None:
    """Show the audit log: number, time, actor, action, target, outcome, address, request id."""
    with _desk(data, control_url) as (desk, operator):
        for entry in desk.audit.list(operator, limit=limit, before=before):
            at = datetime.fromtimestamp(entry.at / 1_000_000, UTC).isoformat(timespec="milliseconds")
            # Control characters in a target would let whoever chose it forge lines.
            target = entry.target.encode("unicode_escape").decode("ascii")
            fields = (entry.entry_id, at, entry.actor or "-", entry.action, target or "-", entry.outcome)
            typer.echo("\t".join(map(str, (*fields, entry.address or "-", entry.request_id or "-"))))


@accounts.command("copies")
def list_copies(data: _Data = None, control_url: _ControlUrl = None) -> None:
    """Show the copies of the account database: time, state, file."""
    from vectrograph.app import control_url as url_of
    from vectrograph.cli.operator import copies_of_accounts

    with _told():
        settings = Settings.load(data=data, control_url=control_url)
        for copy, whole in copies_of_accounts(url_of(settings), settings.data):
            typer.echo(f"{copy.when}\t{'intact' if whole else 'damaged'}\t{copy.path}")


@accounts.command("restore")
def restore(
    copy: Annotated[
        Path | None, typer.Option("--copy", help="File of the copy. Default: the newest intact one.")
    ] = None,
    revoke_keys: Annotated[
        bool,
        typer.Option("--revoke-keys", help="Revoke all API keys, because keys revoked after the copy are valid again."),
    ] = False,
    data: _Data = None,
    control_url: _ControlUrl = None,
) -> None:
    """Restore the account database from a copy, while the server is stopped. All users must log in again."""
    from vectrograph.app import control_url as url_of
    from vectrograph.cli.operator import restore_accounts

    with _told():
        settings = Settings.load(data=data, control_url=control_url)
        done = restore_accounts(url_of(settings), settings.data, copy, revoke_keys=revoke_keys)
    typer.echo(f"restored the account database of {done.copy.when}; all sessions have ended")
    if done.replaced is not None:
        typer.echo(f"the previous database is now {done.replaced}")
    if done.missing == 0:
        typer.echo("no acknowledged change is missing")
        return
    count = "changes" if done.missing is None else f"{done.missing} changes (including sessions and audit entries)"
    typer.echo(
        f"{count} after that time may be missing: accounts, keys, passwords, audit entries. "
        "Keys that were revoked and accounts that were disabled or deleted after that time are valid again. "
        f"{done.keys} API keys are valid now.",
        err=True,
    )
    if not revoke_keys:
        typer.echo("To be safe, run it again with --revoke-keys, or check `vectrograph users list`.", err=True)


@accounts.command("accept")
def accept(data: _Data = None, control_url: _ControlUrl = None) -> None:
    """Accept the account database that is there, such as your own backup, or that there is none."""
    from vectrograph.app import control_url as url_of
    from vectrograph.cli.operator import accept_accounts

    with _told():
        settings = Settings.load(data=data, control_url=control_url)
        there = accept_accounts(url_of(settings), settings.data)
    typer.echo("the account database is accepted" if there else "the next start begins without accounts")


def rotate_signing_key(data: _Data = None) -> None:
    """Create a new signing key for the next start; tokens signed with the old key stay valid until they expire."""
    from vectrograph.app import SECRET_FILE
    from vectrograph.control.signing import rotate_secret

    try:
        rotate_secret(Settings.load(data=data).data / SECRET_FILE)
    except StartupError as error:
        typer.echo(f"vectrograph: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo("the new signing key is used from the next start")
