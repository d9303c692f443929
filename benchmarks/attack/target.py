"""The server under attack: its addresses, and credentials of the prober, the attacker and a viewer."""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import grpc
import httpx2
import numpy as np

from benchmarks.attack.authorities import Authority
from benchmarks.load.subject import started
from vectron_client import ClientOptions, Point, VectronClient

COLLECTION: Final = "attacked"
DIMENSION: Final = 64
SHUTDOWN_SECONDS: Final = 2
# Collections of the tenant, so few that an attacker reaches the quota within seconds.
_MAX_TENANT_COLLECTIONS: Final = 200
_BUCKETS: Final = 10
_BATCH: Final = 2_000


@dataclass(frozen=True, slots=True)
class Target:
    """A running server.

    Attributes:
        pid: its process.
        http, grpc: its addresses.
        key: API key of the prober, a developer.
        attacker: API key of another developer.
        viewer: access token of a viewer.
        token: id of a token that the prober reads.
        certificate: file of the authority that signed the server's certificate; empty without TLS.
    """

    pid: int
    http: str
    grpc: str
    key: str = field(repr=False)
    attacker: str = field(repr=False)
    viewer: str = field(repr=False)
    token: str
    certificate: str

    @property
    def http_port(self) -> int:
        """The port of the REST API."""
        return int(self.http.rpartition(":")[2])

    def tls(self) -> ssl.SSLContext | None:
        """Return what trusts the server's certificate; None without TLS."""
        return ssl.create_default_context(cafile=self.certificate) if self.certificate else None

    def channel(self) -> Any:
        """Open a channel on a connection of its own."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        if not self.certificate:
            return grpc.insecure_channel(self.grpc, options)
        trusted = grpc.ssl_channel_credentials(Path(self.certificate).read_bytes())
        return grpc.secure_channel(self.grpc, trusted, options)

    def to_json(self) -> str:
        """Return what `from_json` reads, credentials included."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the target that `to_json` wrote."""
        return cls(**json.loads(text))


@contextmanager
def attacked(directory: Path, points: int, processors: set[int] | None, *, tls: bool) -> Iterator[tuple[Any, Target]]:
    """Serve a collection out of a fresh directory; yields the process and the target."""
    options = ["--shutdown-seconds", str(SHUTDOWN_SECONDS), "--max-tenant-collections", str(_MAX_TENANT_COLLECTIONS)]
    certificate = ""
    if tls:
        authority = Authority(directory / "authority")
        chain, key = authority.issue("server")
        options += ["--tls-cert", str(chain), "--tls-key", str(key)]
        certificate = str(authority.certificate)
    with started(directory, processors, *options) as (process, addresses):
        yield process, _prepared(process.pid, addresses, points, certificate)


def _prepared(pid: int, addresses: dict[str, Any], points: int, certificate: str) -> Target:
    verify = ssl.create_default_context(cafile=certificate) if certificate else False
    with httpx2.Client(base_url=addresses["http"], timeout=60, verify=verify) as http:

        def post(path: str, body: dict[str, Any], credential: str = "") -> dict[str, Any]:
            headers = {"Authorization": f"Bearer {credential}"} if credential else {}
            answer = http.post(path, json=body, headers=headers)
            if not answer.is_success:
                raise RuntimeError(f"{path} was answered with {answer.status_code}: {answer.text}")
            found: dict[str, Any] = answer.json()
            return found

        def login(name: str, password: str) -> str:
            token: str = post("/api/v1/auth/login", {"username": name, "password": password})["access_token"]
            return token

        def key_of(token: str) -> str:
            made: str = post("/api/v1/api-keys", {"name": "attack"}, token)["api_key"]
            return made

        developer = login("developer", "developer123")
        account = {"email": "attacker@example.org", "password": "Correct-horse-7"}
        post("/v1/users/register", account)
        target = Target(
            pid=pid,
            http=addresses["http"],
            grpc=addresses["grpc"],
            key=key_of(developer),
            attacker=key_of(login(account["email"], account["password"])),
            viewer=login("viewer", "viewer123"),
            token=post("/api/v1/tokens", {"text": "a token that is read again and again"}, developer)["id"],
            certificate=certificate,
        )
    _fill(target, points)
    return target


def _fill(target: Target, points: int) -> None:
    rows = np.random.default_rng(7).standard_normal((points, DIMENSION), np.float32)
    options = ClientOptions()
    if target.certificate:
        options = ClientOptions(use_tls=True, tls_root_certificates=Path(target.certificate))
    with VectronClient(target.grpc, api_key=target.key, options=options) as client:
        client.create_collection(COLLECTION, DIMENSION, "cosine")
        made = [
            Point(id=str(n), vector=row, payload={"n": n, "bucket": n % _BUCKETS, "text": f"words about point {n}"})
            for n, row in enumerate(rows)
        ]
        client.upsert_batch(COLLECTION, made, batch_size=_BATCH)
