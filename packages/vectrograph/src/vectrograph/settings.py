"""All settings of the server: command line over environment over TOML file over default.

`docs/settings.md` is generated from this class, and `make lint` checks that it is up to date.
"""

import ipaddress
import os
import stat
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from vectrograph.domain.addresses import Network
from vectrograph.domain.collections import Quantisation
from vectrograph.domain.errors import StartupError
from vectrograph.domain.limits import Limits, LiveLimits
from vectrograph.domain.log_retention import DEFAULT_LOG_CHANGES, DEFAULT_LOG_DAYS
from vectrograph.domain.quotas import Quotas

ENV_PREFIX = "VECTROGRAPH_"
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_DEFAULTS = Limits()
_QUOTAS = Quotas()
_LIVE = LiveLimits()


class EngineKind(StrEnum):
    """embedded: in the data directory. postgres: in a PostgreSQL database that many servers share."""

    EMBEDDED = "embedded"
    POSTGRES = "postgres"


class LogFormat(StrEnum):
    """auto: human on a terminal, JSON otherwise."""

    AUTO = "auto"
    HUMAN = "human"
    JSON = "json"


class LogLevel(StrEnum):
    """The least severe line that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Settings(BaseSettings):
    """Settings of one server.

    Names of variables in the environment are the field names in capitals behind `VECTROGRAPH_`.
    """

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True)

    data: Path = Field(default=Path("vectrograph-data"), description="Data directory; created if it does not exist.")
    engine: EngineKind = Field(
        default=EngineKind.EMBEDDED,
        description="Storage of points: embedded (in `data`) or postgres (in PostgreSQL with pgvector).",
    )
    engine_url: str | None = Field(
        default=None,
        description="Connection string of PostgreSQL, such as `postgresql://user@host/database`; several hosts are "
        "separated by commas. Beyond loopback it must say `sslmode=verify-full`.",
    )
    engine_connections: int = Field(
        default=24,
        ge=2,
        le=1_000,
        description="Maximum number of connections to PostgreSQL; a third of them is for writes.",
    )
    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on. Only loopback is allowed while a documented password is in force.",
    )
    http_port: int = Field(default=8000, ge=0, le=65535, description="Port of the REST API; 0 picks a free one.")
    vectron_http_port: int = Field(
        default=8080,
        ge=0,
        le=65535,
        description="Second port of the same HTTP server, for users of Vectron; 0 picks a free one.",
    )
    grpc_port: int = Field(default=8081, ge=0, le=65535, description="Port of the gRPC API; 0 picks a free one.")
    allowed_hosts: tuple[str, ...] = Field(
        default=(),
        description="Host names allowed in requests, besides loopback and `host`. In the environment: a JSON list.",
    )
    tls_cert: Path | None = Field(
        default=None, description="PEM file of the certificate chain; reloaded when it changes."
    )
    tls_key: Path | None = Field(default=None, description="PEM file of the certificate's private key.")
    tls_client_ca: Path | None = Field(
        default=None,
        description="PEM file of certificate authorities; only clients with a certificate from them may connect.",
    )
    trusted_proxy: tuple[str, ...] = Field(
        default=(), description="Addresses or networks of proxies whose `X-Forwarded-For` header is trusted."
    )
    insecure: bool = Field(
        default=False,
        description="Allow listening beyond loopback without TLS: others on the network can read passwords and data.",
    )
    cors_origins: tuple[str, ...] = Field(
        default=(), description="Origins of web pages that may call the API, such as `https://app.example`."
    )
    control_url: str | None = Field(
        default=None,
        description="SQLAlchemy URL of the account database; default: a SQLite file in `data`.",
    )
    rate_limit: int = Field(
        default=0, ge=0, description="Requests per second of one account, over all its API keys; 0: no limit."
    )
    address_rate_limit: int = Field(
        default=0, ge=0, description="Requests per second from one network address; 0: no limit."
    )
    rate_limit_storage: str = Field(
        default="memory://", description="Storage of the request counters: `memory://` or a redis:// URL."
    )
    memory_bytes: int | None = Field(
        default=None,
        ge=0,
        description="Memory limit of indexes and payload columns, in bytes; writes beyond it fail. 0: no limit. "
        "Default: half of the memory of the machine or container.",
    )
    grid_memory_bytes: int = Field(
        default=256 << 20,
        ge=1 << 20,
        description="Memory of all grids together, in bytes: about 270 for each token. The grid asked the longest ago "
        "leaves first.",
    )
    ballast_bytes: int = Field(
        default=16 << 20,
        ge=0,
        description="Disk space reserved so that deletes work when the disk is full, in bytes; 0: none.",
    )
    quantization: Quantisation = Field(
        default=Quantisation.INT8,
        description="Default type of vector components in the index of a new collection: int8, float16, float32.",
    )
    grpc_threads: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="Threads for gRPC reads. Writes get as many; batches, scrolls and counts get three quarters of it. "
        "0: two per processor, at least 4.",
    )
    cpu_affinity: bool = Field(
        default=True,
        description="Pin Python threads to one core; native index work may use all cores. Linux only.",
    )
    max_connections_per_address: int = Field(
        default=1_000,
        ge=0,
        description="Maximum number of connections from one address, except trusted proxies; 0: no limit. Linux only.",
    )
    handshake_seconds: float = Field(
        default=10.0, gt=0, le=120, description="Timeout of the TLS handshake of a new connection, in seconds."
    )
    shutdown_seconds: float = Field(
        default=8.0,
        gt=0,
        le=60,
        description="Seconds that running requests get after SIGTERM. The process ends at most 5 seconds later.",
    )
    log_level: LogLevel = Field(
        default=LogLevel.INFO, description="Lowest level of log lines that are written: debug, info, warning or error."
    )
    log_format: LogFormat = Field(
        default=LogFormat.AUTO,
        description="Format of log lines: human, json, or auto (human on a terminal, JSON otherwise).",
    )
    max_body_bytes: int = Field(
        default=_DEFAULTS.max_body_bytes, ge=1024, description="Maximum size of an HTTP body or gRPC message, in bytes."
    )
    max_batch: int = Field(
        default=_DEFAULTS.max_batch, ge=1, description="Maximum number of points or texts in one request."
    )
    max_top_k: int = Field(default=_DEFAULTS.max_top_k, ge=1, description="Maximum `top_k` of a search.")
    max_answer_bytes: int = Field(
        default=_DEFAULTS.max_answer_bytes,
        ge=1024,
        description="Maximum bytes of vectors, payloads and texts in one answer; pages with a cursor end earlier.",
    )
    max_search_work: int = Field(
        default=_DEFAULTS.max_search_work,
        ge=1_000_000,
        description="Maximum cost of one search, in multiplications: queries × points compared × components.",
    )
    max_filter_conditions: int = Field(
        default=_DEFAULTS.max_filter_conditions, ge=1, description="Maximum number of conditions in one filter."
    )
    max_filter_paths: int = Field(
        default=_DEFAULTS.max_filter_paths, ge=1, description="Maximum number of distinct paths in one filter."
    )
    max_filter_work: int = Field(
        default=_DEFAULTS.max_filter_work,
        ge=1_000,
        description="Maximum cost of one filter, in tests of about 100 ns: points × (conditions + paths), more for "
        "long strings.",
    )
    max_concurrent: int = Field(
        default=0,
        ge=0,
        description="Maximum number of concurrent requests of one account, over all its API keys; 0: no limit.",
    )
    max_streams: int = Field(
        default=16, ge=1, description="Maximum number of concurrent streams of one account, over all its API keys."
    )
    max_live_streams: int = Field(
        default=_LIVE.in_all, ge=1, description="Maximum number of open event streams (SSE, WebSocket and gRPC Watch)."
    )
    max_live_streams_per_account: int = Field(
        default=_LIVE.per_account,
        ge=1,
        description="Maximum number of open event streams of one account, over all its API keys.",
    )
    max_live_streams_per_address: int = Field(
        default=_LIVE.per_address, ge=1, description="Maximum number of open event streams from one network address."
    )
    max_page: int = Field(default=_DEFAULTS.max_page, ge=1, description="Maximum `limit` of a list.")
    max_dimension: int = Field(
        default=_DEFAULTS.max_dimension, ge=1, le=8192, description="Maximum number of components of a vector."
    )
    max_collections: int = Field(
        default=_DEFAULTS.max_collections,
        ge=1,
        description="Maximum number of collections, not counting those named `tokens`.",
    )
    max_tenant_collections: int = Field(
        default=_DEFAULTS.max_tenant_collections,
        ge=1,
        description="Maximum number of collections of one tenant, not counting `tokens`.",
    )
    max_log_changes: int = Field(
        default=DEFAULT_LOG_CHANGES,
        ge=0,
        description="Maximum number of changes in the log of one collection (engine embedded only); the oldest are "
        "deleted. A reader that comes back later than that is told (410) and reads the points anew. About 40 bytes of "
        "disk each; 0: no limit.",
    )
    max_log_days: int = Field(
        default=DEFAULT_LOG_DAYS,
        ge=0,
        description="Days that a change is kept in the log of its collection (engine embedded only); the newest one "
        "stays. 0: no limit.",
    )
    max_text_bytes: int = Field(
        default=_DEFAULTS.max_text_bytes, ge=1, description="Maximum length of a text, in bytes of UTF-8."
    )
    max_payload_bytes: int = Field(
        default=_DEFAULTS.max_payload_bytes, ge=2, description="Maximum size of a payload, in bytes of JSON."
    )

    max_accounts: int = Field(default=_QUOTAS.max_accounts, ge=1, description="Maximum number of accounts.")
    max_api_keys: int = Field(
        default=_QUOTAS.max_api_keys,
        ge=1,
        description="Maximum number of API keys of one account. Revoked and expired keys are kept while there is room; "
        "those that ended first are deleted first.",
    )
    max_sessions: int = Field(
        default=_QUOTAS.max_sessions,
        ge=1,
        description="Maximum number of sessions of one account; a further login ends the oldest.",
    )
    max_feedback_bytes: int = Field(
        default=_QUOTAS.max_feedback_bytes,
        ge=1024,
        description="Maximum size of the feedback of one account, in bytes.",
    )
    max_feedback_total_bytes: int = Field(
        default=_QUOTAS.max_feedback_total_bytes,
        ge=1024,
        description="Maximum size of the feedback of all accounts, in bytes.",
    )

    @field_validator("data", "tls_cert", "tls_key", "tls_client_ca", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if isinstance(value, str) and not value:
            raise ValueError("is empty; name a file or directory")
        return value

    @field_validator("data", "tls_cert", "tls_key", "tls_client_ca")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        """Make a path absolute once, so that it stays the same when the process changes its directory."""
        return None if value is None else value.absolute()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what the caller passes and the environment: no `.env` file is read from wherever the server happens to
        start.
        """
        return init_settings, env_settings

    @classmethod
    def load(cls, config: Path | None = None, **given: Any) -> Self:
        """Load settings from what was given, else the environment, else the TOML file, else the defaults.

        Args:
            config: a TOML file of field names; None reads none.
            given: values that win over everything; None means not given.

        Raises:
            StartupError: the file cannot be read, or a name or value is not acceptable; one line that names it.
        """
        from_file = _read_toml(config) if config is not None else {}
        in_environment = {name for name in cls.model_fields if f"{ENV_PREFIX}{name.upper()}" in os.environ}
        values = {name: value for name, value in from_file.items() if name not in in_environment}
        values.update((name, value) for name, value in given.items() if value is not None)
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            raise StartupError(f"Setting {name}: {first['msg']}.") from error

    @property
    def loopback(self) -> bool:
        """Return whether the server can be reached from this machine only."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def reached_by_others(self) -> str | None:
        """The setting that lets others than people at this machine reach the server; None when there is none.

        Development mode never runs with such a setting.
        """
        if not self.loopback:
            return f"the server listens on {self.host}"
        if self.trusted_proxy:
            return "the setting trusted_proxy names a proxy"
        for name in self.allowed_hosts:
            if name.lower().strip("[]").removesuffix(".") not in LOOPBACK_NAMES:
                return f"the setting allowed_hosts names {name}"
        return None

    @property
    def tls(self) -> bool:
        """Return whether connections are encrypted."""
        return self.tls_cert is not None

    @property
    def proxies(self) -> tuple[Network, ...]:
        """Networks of trusted proxies.

        Raises:
            StartupError: one is neither an address nor a network.
        """
        try:
            return tuple(ipaddress.ip_network(text) for text in self.trusted_proxy)
        except ValueError as error:
            raise StartupError(f"Setting trusted_proxy: {error}.") from error

    @property
    def host_names(self) -> tuple[str, ...]:
        """Names that the Host header of a request may carry."""
        return (*LOOPBACK_NAMES, self.host, *self.allowed_hosts)

    @property
    def quotas(self) -> Quotas:
        """The most that is stored for callers."""
        return Quotas(
            max_accounts=self.max_accounts,
            max_api_keys=self.max_api_keys,
            max_sessions=self.max_sessions,
            max_feedback_bytes=self.max_feedback_bytes,
            max_feedback_total_bytes=self.max_feedback_total_bytes,
        )

    @property
    def live_limits(self) -> LiveLimits:
        """Streams of live events that may be open at once."""
        return LiveLimits(
            in_all=self.max_live_streams,
            per_account=self.max_live_streams_per_account,
            per_address=self.max_live_streams_per_address,
        )

    @property
    def limits(self) -> Limits:
        """The limits that services enforce and advertise."""
        return Limits(
            max_body_bytes=self.max_body_bytes,
            max_batch=self.max_batch,
            max_top_k=self.max_top_k,
            max_page=self.max_page,
            max_answer_bytes=self.max_answer_bytes,
            max_search_work=self.max_search_work,
            max_dimension=self.max_dimension,
            max_text_bytes=self.max_text_bytes,
            max_payload_bytes=self.max_payload_bytes,
            max_filter_conditions=self.max_filter_conditions,
            max_filter_paths=self.max_filter_paths,
            max_filter_work=self.max_filter_work,
            max_collections=self.max_collections,
            max_tenant_collections=self.max_tenant_collections,
        )


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        if stat.S_ISFIFO(path.stat().st_mode) and path.parent.name != "fd":
            raise StartupError(f"The settings file {path} is a named pipe; name a TOML file.")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StartupError(f"Cannot read the settings file {path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StartupError(f"The settings file {path} is not TOML: {error}.") from error


def settings_table() -> str:
    """Return the settings as a Markdown table, one row a field.

    >>> "VECTROGRAPH_HTTP_PORT" in settings_table()
    True
    """
    rows = ["| option, TOML key | environment | default | meaning |", "|---|---|---|---|"]
    for name, info in Settings.model_fields.items():
        option = f"`--{name.replace('_', '-')}`, `{name}`"
        rows.append(f"| {option} | `{ENV_PREFIX}{name.upper()}` | {_shown(info)} | {info.description} |")
    return "\n".join(rows) + "\n"


def _shown(info: FieldInfo) -> str:
    value = info.default
    if isinstance(value, StrEnum):
        return f"`{value.value}`"
    if isinstance(value, tuple):
        return "`[]`"
    return f"`{value}`"
