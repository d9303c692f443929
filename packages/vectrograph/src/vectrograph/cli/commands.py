"""The command `vectrograph`."""

import gc
import resource
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import structlog
import typer

from vectrograph.cli import accounts, data, postgres
from vectrograph.domain.collections import Quantisation
from vectrograph.domain.errors import DomainError, StartupError
from vectrograph.settings import EngineKind, LogFormat, LogLevel, Settings
from vectrograph.version import VERSION

# Descriptors: more than any server of this kind needs. Where the hard limit is a billion, tables of that size hurt.
_MAX_OPEN_FILES: Final = 1 << 20
# New objects between two collections of young garbage; Python's default is 700. An upsert of 256 points makes some
# thousands that all go by themselves, and takes a fifteenth less of the engine's time.
_YOUNG_OBJECTS: Final = 50_000
app = typer.Typer(
    name="vectrograph",
    help="A vector database with two APIs: NeuroGraph's REST API and Vectron's gRPC API.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Entry point of the console script."""
    app()


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"vectrograph {VERSION}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Run a vector database with two APIs: NeuroGraph's REST API and Vectron's gRPC API."""


app.command("init")(accounts.init)
app.command("audit")(accounts.audit)
app.command("rotate-signing-key")(accounts.rotate_signing_key)
app.add_typer(accounts.users, name="users")
app.add_typer(accounts.accounts, name="accounts")
app.command("verify")(data.verify)
app.command("repair")(data.repair)
app.command("recall")(data.recall)
app.add_typer(postgres.postgres, name="postgres")


def _option(name: str) -> Any:
    field = Settings.model_fields[name]
    return typer.Option(f"--{name.replace('_', '-')}", help=field.description, show_default=str(field.default))


@app.command()
def serve(
    config: Annotated[Path | None, typer.Option("--config", help="TOML file of settings.")] = None,
    data: Annotated[Path | None, _option("data")] = None,
    engine: Annotated[EngineKind | None, _option("engine")] = None,
    engine_url: Annotated[str | None, _option("engine_url")] = None,
    engine_connections: Annotated[int | None, _option("engine_connections")] = None,
    host: Annotated[str | None, _option("host")] = None,
    http_port: Annotated[int | None, _option("http_port")] = None,
    vectron_http_port: Annotated[int | None, _option("vectron_http_port")] = None,
    grpc_port: Annotated[int | None, _option("grpc_port")] = None,
    allowed_hosts: Annotated[list[str] | None, _option("allowed_hosts")] = None,
    tls_cert: Annotated[Path | None, _option("tls_cert")] = None,
    tls_key: Annotated[Path | None, _option("tls_key")] = None,
    tls_client_ca: Annotated[Path | None, _option("tls_client_ca")] = None,
    trusted_proxy: Annotated[list[str] | None, _option("trusted_proxy")] = None,
    insecure: Annotated[bool | None, _option("insecure")] = None,
    cors_origins: Annotated[list[str] | None, _option("cors_origins")] = None,
    control_url: Annotated[str | None, _option("control_url")] = None,
    rate_limit: Annotated[int | None, _option("rate_limit")] = None,
    address_rate_limit: Annotated[int | None, _option("address_rate_limit")] = None,
    rate_limit_storage: Annotated[str | None, _option("rate_limit_storage")] = None,
    memory_bytes: Annotated[int | None, _option("memory_bytes")] = None,
    grid_memory_bytes: Annotated[int | None, _option("grid_memory_bytes")] = None,
    ballast_bytes: Annotated[int | None, _option("ballast_bytes")] = None,
    quantization: Annotated[Quantisation | None, _option("quantization")] = None,
    grpc_threads: Annotated[int | None, _option("grpc_threads")] = None,
    cpu_affinity: Annotated[bool | None, _option("cpu_affinity")] = None,
    max_connections_per_address: Annotated[int | None, _option("max_connections_per_address")] = None,
    handshake_seconds: Annotated[float | None, _option("handshake_seconds")] = None,
    shutdown_seconds: Annotated[float | None, _option("shutdown_seconds")] = None,
    log_level: Annotated[LogLevel | None, _option("log_level")] = None,
    log_format: Annotated[LogFormat | None, _option("log_format")] = None,
    max_body_bytes: Annotated[int | None, _option("max_body_bytes")] = None,
    max_batch: Annotated[int | None, _option("max_batch")] = None,
    max_top_k: Annotated[int | None, _option("max_top_k")] = None,
    max_page: Annotated[int | None, _option("max_page")] = None,
    max_answer_bytes: Annotated[int | None, _option("max_answer_bytes")] = None,
    max_search_work: Annotated[int | None, _option("max_search_work")] = None,
    max_filter_conditions: Annotated[int | None, _option("max_filter_conditions")] = None,
    max_filter_paths: Annotated[int | None, _option("max_filter_paths")] = None,
    max_filter_work: Annotated[int | None, _option("max_filter_work")] = None,
    max_concurrent: Annotated[int | None, _option("max_concurrent")] = None,
    max_streams: Annotated[int | None, _option("max_streams")] = None,
    max_live_streams: Annotated[int | None, _option("max_live_streams")] = None,
    max_live_streams_per_account: Annotated[int | None, _option("max_live_streams_per_account")] = None,
    max_live_streams_per_address: Annotated[int | None, _option("max_live_streams_per_address")] = None,
    max_dimension: Annotated[int | None, _option("max_dimension")] = None,
    max_collections: Annotated[int | None, _option("max_collections")] = None,
    max_tenant_collections: Annotated[int | None, _option("max_tenant_collections")] = None,
    max_log_changes: Annotated[int | None, _option("max_log_changes")] = None,
    max_log_days: Annotated[int | None, _option("max_log_days")] = None,
    max_text_bytes: Annotated[int | None, _option("max_text_bytes")] = None,
    max_payload_bytes: Annotated[int | None, _option("max_payload_bytes")] = None,
    max_accounts: Annotated[int | None, _option("max_accounts")] = None,
    max_api_keys: Annotated[int | None, _option("max_api_keys")] = None,
    max_sessions: Annotated[int | None, _option("max_sessions")] = None,
    max_feedback_bytes: Annotated[int | None, _option("max_feedback_bytes")] = None,
    max_feedback_total_bytes: Annotated[int | None, _option("max_feedback_total_bytes")] = None,
) -> None:
    """Run the server on a data directory until SIGTERM or Ctrl-C."""
    given = dict(locals())
    path = given.pop("config")
    for name in ("allowed_hosts", "trusted_proxy", "cors_origins"):
        given[name] = tuple(given[name]) if given[name] else None
    try:
        _serve(Settings.load(path, **given))
    except (StartupError, DomainError) as error:
        typer.echo(f"vectrograph: {error}", err=True)
        raise typer.Exit(1) from error


def _serve(settings: Settings) -> None:
    from vectrograph.app import Server
    from vectrograph.process import logs
    from vectrograph.process.closing import EXIT_SECONDS, StopSignal, leave_at_once

    logs.configure(settings.log_level, settings.log_format)
    log = structlog.get_logger("vectrograph.cli")
    open_files = _raise_open_files_limit()
    server: Server | None = None
    stop = StopSignal(
        settings.shutdown_seconds + EXIT_SECONDS, lambda: "the start" if server is None else server.stopping
    )
    stop.listen(signal.SIGTERM, signal.SIGINT)
    server = Server.start(settings)
    # What is there by now stays to the end, a hundred thousand objects: to go through them again and again stopped all
    # threads for some 35 ms each time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])
    try:
        addresses = server.addresses
        log.info(
            "serving",
            version=VERSION,
            data=str(settings.data),
            engine=settings.engine.value,
            http=addresses.http,
            vectron_http=addresses.vectron_http,
            grpc=addresses.grpc,
        )
        log.info(open_files)
        if names := server.default_passwords:
            log.warning(
                f"development mode: {', '.join(names)} have their documented passwords; "
                "the mode ends with the first real account, and with the first request through a proxy"
            )
        elif advice := server.advice:
            log.warning(advice)
        stop.wait()
        log.info("stopping", seconds_at_most=settings.shutdown_seconds + EXIT_SECONDS)
    finally:
        stop.ask()
        given_up = server.stop()
    if given_up:
        # Its threads would keep the process from its end.
        leave_at_once(lambda: log.error("stopped without waiting for all parts", gave_up_on=given_up))
    log.info("stopped")
    sys.stderr.flush()


def _raise_open_files_limit() -> str:
    """Raise the soft limit on open files to the hard one and return a line for the log.

    Many systems start processes with a soft limit of 1,024 that is meant for programs which use `select`.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_OPEN_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return f"the limit on open files is {soft}"
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as error:
        return f"the limit on open files stays at {soft}, it could not be raised: {error}"
    return f"the limit on open files was raised from {soft} to {wanted}"
