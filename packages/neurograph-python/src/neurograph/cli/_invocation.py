"""Shared parts of the commands: the options of the connection, the client made of them, and the way errors are told."""

import functools
import getpass
import inspect
import json
import logging
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec

import typer

from neurograph.cli._exits import ExitCode, exit_code
from neurograph.cli._output import Format, Output, printable
from neurograph.cli._values import secret_line
from neurograph.exceptions import ConfigurationError, NeuroGraphError, ValidationError

if TYPE_CHECKING:
    from neurograph.client import NeuroGraphClient

P = ParamSpec("P")
_PANEL = "Connection and output (also before the subcommand)"


def _option(name: str, help: str, *more: str, variable: str | None = None) -> Any:
    shown = help if variable is None else f"{help} (env {variable})"
    return typer.Option(name, *more, help=shown, show_default=False, rich_help_panel=_PANEL)


_NO_CREDENTIALS = "this command needs credentials"
_SEEN = "Other users of this machine can see it; prefer the next option."

_BaseUrl = _option("--base-url", "URL of the server. Default: http://localhost:8000.", variable="NEUROGRAPH_BASE_URL")
_Username = _option("--username", "User to log in as; prompts for the password.", "-u", variable="NEUROGRAPH_USERNAME")
_Password = _option("--password", _SEEN, variable="NEUROGRAPH_PASSWORD")
_PasswordFile = _option(
    "--password-file",
    "File whose first line is the password; - reads standard input.",
    variable="NEUROGRAPH_PASSWORD_FILE",
)
_ApiKey = _option("--api-key", _SEEN, variable="NEUROGRAPH_API_KEY")
_ApiKeyFile = _option(
    "--api-key-file", "File whose first line is the key; - reads standard input.", variable="NEUROGRAPH_API_KEY_FILE"
)
_Timeout = _option(
    "--timeout", "Timeout of a call in seconds, including retries. Default: 30.", variable="NEUROGRAPH_TIMEOUT"
)
_Retries = _option("--retries", "Number of retries after a temporary failure. Default: 2.")
_CaFile = _option("--ca-file", "Trust the certificate authorities in this file.", variable="NEUROGRAPH_CA_FILE")
_Insecure = _option("--insecure", "Do not check the server's certificate.")
_Format = _option(
    "--output", "Output format. auto: tables on a terminal, JSON otherwise.", "-o", variable="NEUROGRAPH_OUTPUT"
)
_Json = _option("--json", "Short for --output json.")
_Debug = _option("--debug", "Log requests and responses to standard error.")


@dataclass(frozen=True, repr=False)
class Chosen:
    """Options of the connection and the output; None where nothing was said."""

    base_url: Annotated[str | None, _BaseUrl] = None
    username: Annotated[str | None, _Username] = None
    password: Annotated[str | None, _Password] = None
    password_file: Annotated[str | None, _PasswordFile] = None
    api_key: Annotated[str | None, _ApiKey] = None
    api_key_file: Annotated[str | None, _ApiKeyFile] = None
    timeout: Annotated[float | None, _Timeout] = None
    retries: Annotated[int | None, _Retries] = None
    ca_file: Annotated[str | None, _CaFile] = None
    insecure: Annotated[bool | None, _Insecure] = None
    output: Annotated[Format | None, _Format] = None
    json: Annotated[bool | None, _Json] = None
    debug: Annotated[bool | None, _Debug] = None

    def over(self, outer: "Chosen") -> "Chosen":
        """Return these options, and the outer ones where nothing was said here."""
        joined = {name: value for name, value in vars(outer).items() if value is not None}
        joined.update({name: value for name, value in vars(self).items() if value is not None})
        return Chosen(**joined)


_FIELDS = {field.name: field for field in fields(Chosen)}


class Invocation:
    """One run of a command.

    Args:
        chosen: its options, those before the subcommand included.
    """

    def __init__(self, chosen: Chosen) -> None:
        self._chosen = chosen
        self.output = Output(_format(chosen))
        if chosen.debug:
            logging.basicConfig(stream=sys.stderr, format="%(name)s %(levelname)s %(message)s")
            logging.getLogger("neurograph").setLevel(logging.DEBUG)

    @cached_property
    def client(self) -> "NeuroGraphClient":
        """The client, made at first use, after everything else on the command line has been found right.

        Raises:
            ConfigurationError: an option or a variable is wrong, or a password is needed and nobody can be asked.
        """
        from neurograph.client import NeuroGraphClient

        chosen = self._chosen
        return NeuroGraphClient(
            chosen.base_url,
            timeout=30.0 if chosen.timeout is None else chosen.timeout,
            verify_ssl=False if chosen.insecure else chosen.ca_file or True,
            max_retries=2 if chosen.retries is None else chosen.retries,
            **_credentials(chosen),
        )

    def close(self) -> None:
        """Close the client's connections, if there are any."""
        if "client" in self.__dict__:
            self.client.close()

    def note(self, fields: dict[str, Any], sentence: str) -> None:
        """Say something on standard error, beside the results; as JSON when JSON was asked for."""
        is_json = _format(self._chosen) is Format.JSON
        print(json.dumps(fields, ensure_ascii=True) if is_json else sentence, file=sys.stderr)

    def tell(self, error: NeuroGraphError) -> None:
        """Say on standard error what went wrong; as JSON when JSON was asked for."""
        code = exit_code(error)
        if _format(self._chosen) is Format.JSON:
            told = {
                "code": error.error_code,
                "message": error.message,
                "status": error.status_code,
                "request_id": error.request_id,
                "details": error.details,
                "exit_code": int(code),
            }
            print(json.dumps({"error": told}, ensure_ascii=True, default=str), file=sys.stderr)
            return
        said = _NO_CREDENTIALS if error.error_code == "MISSING_CREDENTIALS" else printable(str(error))
        print(f"neurograph-cli: {said}", file=sys.stderr)
        hint = _hint(error, code)
        if hint is not None:
            print(f"  {hint}", file=sys.stderr)


def _hint(error: NeuroGraphError, code: ExitCode) -> str | None:
    if code is ExitCode.NOT_AUTHENTICATED and error.error_code == "MISSING_CREDENTIALS":
        return "pass --username (prompts for the password) or --api-key-file, or set NEUROGRAPH_API_KEY"
    if code is ExitCode.NOT_ALLOWED:
        scope = error.details.get("required_scope")
        return f"required scope: {scope}" if scope else error.hint
    if code is ExitCode.NO_CONNECTION:
        return "check --base-url, or start a server with: vectrograph serve --data ./data"
    if code is ExitCode.TIMED_OUT:
        return "allow more time with --timeout SECONDS"
    if isinstance(error, (ValidationError, ConfigurationError)):
        return None
    return error.hint


def connected(command: Callable[Concatenate[Invocation, P], None]) -> Callable[..., None]:
    """Make a command of a function of an Invocation: adds the shared options, and turns errors into exit codes."""

    @functools.wraps(command)
    def run(context: typer.Context, *args: Any, **kwargs: Any) -> None:
        own = Chosen(**{name: kwargs.pop(name) for name in _FIELDS})
        with _invocation(own.over(context.find_root().obj)) as invocation:
            command(invocation, *args, **kwargs)

    _declare(run, list(inspect.signature(command, eval_str=True).parameters.values())[1:])
    return run


def rooted(command: Callable[P, None]) -> Callable[..., None]:
    """Make the root of all commands: takes the shared options before the subcommand, and keeps them for it."""

    @functools.wraps(command)
    def run(context: typer.Context, *args: Any, **kwargs: Any) -> None:
        context.obj = Chosen(**{name: kwargs.pop(name) for name in _FIELDS})
        command(*args, **kwargs)

    _declare(run, list(inspect.signature(command, eval_str=True).parameters.values()))
    return run


def _declare(run: Callable[..., None], own: list[inspect.Parameter]) -> None:
    """Give a wrapper the signature that typer reads: the context, the command's own parameters, the shared options."""
    parameters = [inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)]
    parameters += [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    hints = inspect.get_annotations(Chosen, eval_str=True)
    parameters += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hints[name])
        for name in _FIELDS
    ]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # functions may have one
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}


@contextmanager
def _invocation(chosen: Chosen) -> Generator[Invocation, None, None]:
    """Provide an invocation whose errors become messages and exit codes."""
    code = ExitCode.DONE
    try:
        invocation = Invocation(chosen.over(_environment()))
    except ConfigurationError as error:
        print(f"neurograph-cli: {error}", file=sys.stderr)
        raise typer.Exit(exit_code(error)) from error
    try:
        yield invocation
        sys.stdout.flush()
    except NeuroGraphError as error:
        code = exit_code(error)
        invocation.tell(error)
    except BrokenPipeError:
        # Nobody reads any more; Python would complain again while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = ExitCode.BROKEN_PIPE
    except KeyboardInterrupt:
        print("\nneurograph-cli: interrupted", file=sys.stderr)
        code = ExitCode.INTERRUPTED
    except OSError as error:
        print(f"neurograph-cli: {error}", file=sys.stderr)
        code = ExitCode.FAILED
    finally:
        invocation.close()
    if code is not ExitCode.DONE:
        raise typer.Exit(code)


def _environment() -> Chosen:
    """Read those options from the environment that the client itself does not read from there.

    Raises:
        ConfigurationError: a variable holds no such value.
    """
    timeout, output = os.environ.get("NEUROGRAPH_TIMEOUT"), os.environ.get("NEUROGRAPH_OUTPUT")
    try:
        return Chosen(
            timeout=float(timeout) if timeout else None,
            output=Format(output) if output else None,
            ca_file=os.environ.get("NEUROGRAPH_CA_FILE") or None,
        )
    except ValueError as error:
        raise ConfigurationError(f"NEUROGRAPH_TIMEOUT or NEUROGRAPH_OUTPUT cannot be used: {error}") from error


def _format(chosen: Chosen) -> Format:
    if chosen.json:
        return Format.JSON
    return chosen.output or Format.AUTO


def _credentials(chosen: Chosen) -> dict[str, Any]:
    """Choose the credentials: an option wins over the environment, a key over a password, a file over asking.

    Raises:
        ConfigurationError: a file cannot be read, or a password is needed and nobody can be asked.
    """
    environ = os.environ
    if chosen.api_key is not None or chosen.api_key_file is not None:
        return {"api_key": chosen.api_key or secret_line(chosen.api_key_file or "", "--api-key-file")}
    named = chosen.username is not None or chosen.password is not None or chosen.password_file is not None
    if not named and environ.get("NEUROGRAPH_API_KEY"):
        return {}
    if not named and environ.get("NEUROGRAPH_API_KEY_FILE"):
        return {"api_key": secret_line(environ["NEUROGRAPH_API_KEY_FILE"], "NEUROGRAPH_API_KEY_FILE")}
    username = chosen.username or environ.get("NEUROGRAPH_USERNAME")
    if not username:
        return {"password": chosen.password} if named else {}
    return {"username": username, "password": _password(chosen, username)}


def _password(chosen: Chosen, username: str) -> str:
    if chosen.password is not None:
        return chosen.password
    if chosen.password_file is not None:
        return secret_line(chosen.password_file, "--password-file")
    if os.environ.get("NEUROGRAPH_PASSWORD"):
        return os.environ["NEUROGRAPH_PASSWORD"]
    if os.environ.get("NEUROGRAPH_PASSWORD_FILE"):
        return secret_line(os.environ["NEUROGRAPH_PASSWORD_FILE"], "NEUROGRAPH_PASSWORD_FILE")
    if not sys.stderr.isatty():
        raise ConfigurationError(
            f"a password for {username} is needed, but there is no terminal for a prompt; "
            "pass --password-file, or set NEUROGRAPH_PASSWORD or NEUROGRAPH_PASSWORD_FILE"
        )
    try:
        return getpass.getpass(f"Password for {username}: ")
    except EOFError as error:
        raise ConfigurationError(f"no password was given for {username}") from error
