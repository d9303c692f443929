"""All services of one server, put together over what they are given."""

from functools import partial
from pathlib import Path

from vectrograph.control.clock import Clock, now
from vectrograph.control.passwords import Passwords
from vectrograph.control.signing import TokenSigner
from vectrograph.control.store import ControlStore
from vectrograph.domain.collections import Quantisation
from vectrograph.domain.embedder import Embedder
from vectrograph.domain.limits import Limits, LiveLimits
from vectrograph.engines.base import Engine
from vectrograph.services import Services
from vectrograph.services.accounts.audit import Audit
from vectrograph.services.accounts.credentials import Credentials
from vectrograph.services.accounts.development import Development
from vectrograph.services.accounts.key_usage import KeyUsage
from vectrograph.services.accounts.keys import Keys
from vectrograph.services.accounts.lockout import Lockout
from vectrograph.services.accounts.logins import Logins
from vectrograph.services.accounts.password_login import PasswordLogin
from vectrograph.services.accounts.registration import Registration
from vectrograph.services.accounts.sessions import Sessions
from vectrograph.services.accounts.users import Users
from vectrograph.services.cdna.cdna import Cdna
from vectrograph.services.grid.grids import GRID_MEMORY_BYTES, Grids
from vectrograph.services.health import Health
from vectrograph.services.limits.concurrency import Concurrency
from vectrograph.services.limits.filter_turns import FilterTurns
from vectrograph.services.limits.rate_limits import RateLimits
from vectrograph.services.live.announcing import AnnouncingEngine
from vectrograph.services.live.live import Live
from vectrograph.services.live.positions import Positions
from vectrograph.services.points.bulk import Bulk
from vectrograph.services.points.collections import Catalog
from vectrograph.services.points.embeddings import Embeddings
from vectrograph.services.points.feedback import Feedback
from vectrograph.services.points.points import Points
from vectrograph.services.points.search import Search
from vectrograph.services.points.tokens import Tokens
from vectrograph.services.traffic import Traffic


def build_services(
    *,
    engine: Engine,
    store: ControlStore,
    embedder: Embedder,
    secret_file: Path,
    limits: Limits,
    version: str,
    development: Development | None = None,
    rate_limits: RateLimits | None = None,
    concurrency: Concurrency | None = None,
    turns: FilterTurns | None = None,
    quantisation: Quantisation = Quantisation.INT8,
    grid_memory_bytes: int = GRID_MEMORY_BYTES,
    live_limits: LiveLimits = LiveLimits(),  # noqa: B008 (immutable)
    clock: Clock = now,
) -> Services:
    """Return the services of one server.

    Args:
        engine: where collections live.
        store: where accounts and keys live.
        embedder: embeds the texts of tokens.
        secret_file: holds the signing secret; made when missing.
        limits: enforced and advertised.
        version: of the server.
        development: development mode as it was decided at the start; None takes it from the store as it is.
        rate_limits: requests a second; None limits nothing but what an API key says of itself.
        concurrency: requests and streams of one caller at once; None is no limit but 16 streams.
        turns: for costly filters; None for as many as the usual number of threads allows.
        quantisation: how indexes of new collections store components, unless their makers say.
        grid_memory_bytes: memory of all grids together.
        live_limits: streams of live events at once.
        clock: microseconds since 1970-01-01 UTC, for tokens and keys.

    Raises:
        StartupError: the signing secret cannot be used.
    """
    signer = TokenSigner.from_file(secret_file, clock)
    usage = KeyUsage(store.api_keys, clock)
    credentials = Credentials(store, signer, usage, clock)
    passwords = Passwords()
    development = development or Development(store)
    health = Health(engine, version)
    positions = Positions(signer.keys_for("positions of live events"))
    live = Live(engine, store, credentials, development, health, positions, limits, live_limits, clock)
    audit = Audit(store.audit, told=live.actions.executed)
    # One count of failures for both ways in, so that neither gives a guesser fresh attempts.
    lockout = Lockout()
    password_login = PasswordLogin(store, passwords, audit, lockout, development)
    turns = turns or FilterTurns()
    traffic = Traffic()
    writing = AnnouncingEngine(engine, live)
    tokens = Tokens(writing, embedder, limits, audit, turns, traffic, live.signals)
    cdna = Cdna(store.cdna, engine, audit, traffic, clock, shared=store.shared)
    return Services(
        catalog=Catalog(writing, limits, audit, store.owners, quantisation),
        points=Points(writing, limits, audit, traffic),
        search=Search(engine, limits, store.feedback, turns),
        bulk=Bulk(writing, limits, audit, turns, traffic),
        tokens=tokens,
        embeddings=Embeddings(embedder, limits),
        grids=Grids(engine, store.grids, limits, audit, grid_memory_bytes, cdna.scales, shared=store.shared),
        sessions=Sessions(store, signer, credentials, passwords, audit, lockout, development, password_login),
        logins=Logins(store, signer, credentials, audit, development, password_login, clock),
        registration=Registration(store, passwords, audit, lockout, development),
        keys=Keys(store.api_keys, usage, audit, limits, clock),
        users=Users(store.accounts, passwords, audit, tokens.ensure),
        audit=audit,
        feedback=Feedback(store.feedback, engine, limits),
        health=health,
        cdna=cdna,
        live=live,
        traffic=traffic,
        development=development,
        limits=limits,
        rate_limits=rate_limits or RateLimits(),
        concurrency=concurrency or Concurrency(),
        close=partial(_close, usage, development, cdna, live),
    )


def _close(usage: KeyUsage, development: Development, cdna: Cdna, live: Live) -> None:
    live.close()
    cdna.close()
    development.close()
    usage.close()
