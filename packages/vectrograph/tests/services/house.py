"""All services over the reference engine, and calls of whoever a test needs."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
from control.hand_clock import HandClock
from sqlalchemy import URL

from vectrograph.control.audit import AuditLog
from vectrograph.control.store import DEFAULT_QUOTAS, ControlStore, sqlite_url
from vectrograph.domain.access import ROLE_SCOPES, Role
from vectrograph.domain.limits import Limits
from vectrograph.domain.points import Vector
from vectrograph.domain.quotas import Quotas
from vectrograph.engines.reference import ReferenceEngine
from vectrograph.services import Services
from vectrograph.services.accounts.audit import Audit
from vectrograph.services.call import Call, Principal
from vectrograph.services.wiring import build_services

DIMENSION = 8
# For services that are tested without accounts.
UNHEARD = Audit(cast(AuditLog, SimpleNamespace(begin=lambda **_: None, end=lambda *_: None)))
LIMITS = Limits(
    max_batch=20,
    max_top_k=50,
    max_hits=200,
    max_page=30,
    max_text_bytes=100,
    max_payload_bytes=200,
    max_name_bytes=16,
    max_dimension=64,
)


class WordEmbedder:
    """Counts words by their hash: texts with common words are near each other."""

    name = "test/words_8"
    dimension = DIMENSION

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def embed(self, texts: Sequence[str]) -> Vector:
        self.embedded += texts
        rows = np.zeros((len(texts), DIMENSION), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().split():
                row[zlib.crc32(word.encode()) % DIMENSION] += 1
            row /= np.linalg.norm(row)
        return rows


@dataclass
class House:
    """All services over the reference engine and a control store with the development accounts."""

    services: Services
    engine: ReferenceEngine
    store: ControlStore
    embedder: WordEmbedder
    clock: HandClock
    directory: Path

    def login(self, username: str = "developer") -> Call:
        """Return a call with the access token of a real login."""
        pair = self.services.sessions.login(username, f"{username}123")
        return self.as_bearer(pair.access_token)

    def as_bearer(self, credential: str) -> Call:
        """Return a call of whoever the credential stands for."""
        return Call(self.services.sessions.authenticate(credential), "request")


def call_as(*scopes: str, role: Role = Role.DEVELOPER, user_id: str = "developer", key_id: str | None = None) -> Call:
    """Return a call with exactly these scopes, or with the role's when none are named."""
    granted = frozenset(scopes) if scopes else ROLE_SCOPES[role]
    return Call(Principal(user_id, user_id, role, granted, key_id=key_id), "request")


def build(
    directory: Path,
    clock: HandClock,
    engine: ReferenceEngine,
    control: str | URL | None = None,
    quotas: Quotas = DEFAULT_QUOTAS,
) -> House:
    """`control` is the URL of the accounts; by default a SQLite file in the directory."""
    store = ControlStore.open(
        control or sqlite_url(directory / "control.sqlite"), directory, quotas=quotas, clock=clock
    )
    embedder = WordEmbedder()
    services = build_services(
        engine=engine,
        store=store,
        embedder=embedder,
        secret_file=directory / "signing.key",
        limits=LIMITS,
        version="1.2.3",
        clock=clock,
    )
    services.tokens.ensure()
    return House(services, engine, store, embedder, clock, directory)
