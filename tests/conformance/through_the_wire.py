"""Engines whose data travels through a real server and a real client: the conformance suite judges the wire too.

A verb, or the part of one, that an API offers goes over that API; what it does not offer (yet) goes to the same engine
directly. What the wire carries is taken from the wire: ids, order, scores, payloads, vectors. Only the rest of a point
(text over gRPC, times, versions) is filled in from the engine.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

import neurograph
import vectron_client
from neurograph import UNSET, NeuroGraphClient
from neurograph.models import Token
from vectrograph.domain import errors
from vectrograph.domain.capabilities import Capabilities
from vectrograph.domain.collections import (
    DEFAULT_TENANT,
    CollectionInfo,
    CollectionRef,
    CollectionSpec,
    IdKind,
)
from vectrograph.domain.errors import DomainError
from vectrograph.domain.points import (
    KEEP,
    Delete,
    Op,
    Outcome,
    OutcomeStatus,
    Patch,
    Point,
    Put,
    Vector,
    WriteResult,
)
from vectrograph.domain.queries import (
    Hit,
    Include,
    Order,
    ScrollPage,
    ScrollRequest,
    SearchRequest,
    SearchResult,
)
from vectrograph.engines.base import Engine, Infos, Points, Results
from vectron_client import VectronClient

T = TypeVar("T")
WHOLE = Include(vector=True, payload=True, text=True)


def _by_code() -> dict[str, type[DomainError]]:
    found: dict[str, type[DomainError]] = {}
    waiting: list[type[DomainError]] = [DomainError]
    while waiting:
        kind = waiting.pop()
        found.setdefault(kind.code, kind)
        waiting += kind.__subclasses__()
    return found


_ERRORS = _by_code()


@contextmanager
def domain_errors() -> Iterator[None]:
    """Provide a client's exception becomes the domain error that it was before it crossed the wire."""
    try:
        yield
    except (vectron_client.VectronError, neurograph.NeuroGraphError) as error:
        kind = _ERRORS[error.error_code or errors.InvalidArgument.code]
        if issubclass(kind, errors.InvalidArgument):
            # Vectron's messages call the operations of a batch by their own name, points.
            message = error.message.replace("points[", "ops[")
            named = (error.details or {}).get("errors", ())
            renamed = [{**e, "field": e["field"].replace("points[", "ops[")} for e in named]
            raise kind(message, errors=renamed) from error
        raise kind(error.message) from error


class Wire:
    """Base of both adapters: everything goes to the engine unless a subclass knows a way over its API."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.crossings = 0

    @property
    def capabilities(self) -> Capabilities:
        return self._engine.capabilities

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._engine, verb)

    def _cross(self, call: Callable[[], T]) -> T:
        self.crossings += 1
        with domain_errors():
            return call()

    def _outcomes(self, ref: CollectionRef, ops: Sequence[Op], known: Sequence[Point | None]) -> WriteResult:
        """Return the outcomes of puts or deletes that went over a wire, which tells less; each change took one seq."""
        named = [op for op in ops if isinstance(op, Put | Delete)]
        status = {op.id: point is not None for op, point in zip(named, known, strict=True)}
        seq, outcomes = self._engine.describe(ref).seq, []
        version = seq - sum(isinstance(op, Put) or status[op.id] for op in named)
        for op in named:
            if isinstance(op, Delete):
                gone = status[op.id]
                version += gone
                kind = OutcomeStatus.DELETED if gone else OutcomeStatus.MISSING
                outcomes.append(Outcome(op.id, kind, version if gone else 0))
                status[op.id] = False
            elif op.id is not None:
                version += 1
                kind = OutcomeStatus.UPDATED if status[op.id] else OutcomeStatus.CREATED
                outcomes.append(Outcome(op.id, kind, version))
                status[op.id] = True
        stored = self._engine.get(ref, [op.id or "" for op in named])
        at = max((point.updated_at for point in stored if point is not None), default=0)
        return WriteResult(seq=seq, outcomes=tuple(outcomes), at=at)


class ThroughGrpc(Wire):
    """Collections, upserts, deletes, reads and plain searches go over Vectron's gRPC API."""

    def __init__(self, engine: Engine, client: VectronClient) -> None:
        super().__init__(engine)
        self._client = client

    def create(self, spec: CollectionSpec) -> CollectionInfo:
        if spec.ref.tenant != DEFAULT_TENANT or spec.model is not None or spec.ids is IdKind.SERIAL:
            return self._engine.create(spec)
        self._cross(lambda: self._client.create_collection(spec.ref.name, spec.dimension, spec.distance.value))
        return self._engine.describe(spec.ref)

    def drop(self, ref: CollectionRef) -> None:
        if ref.tenant != DEFAULT_TENANT:
            return self._engine.drop(ref)
        return self._cross(lambda: self._client.delete_collection(ref.name))

    def list(self, tenant: str) -> Infos:
        if tenant != DEFAULT_TENANT:
            return self._engine.list(tenant)
        names = [name for name in self._cross(self._client.list_collections) if name != "tokens"]
        return [self._engine.describe(CollectionRef(tenant, name)) for name in names]

    def describe(self, ref: CollectionRef) -> CollectionInfo:
        info = self._engine.describe(ref)
        if ref.tenant == DEFAULT_TENANT:
            status = self._cross(lambda: self._client.get_collection_status(ref.name))
            assert (status.name, status.dimension) == (ref.name, info.spec.dimension)
            assert status.distance == info.spec.distance.value
            assert [shard.ready for shard in status.shards] == [True]
        return info

    def write(self, ref: CollectionRef, ops: Sequence[Op], **options: Any) -> WriteResult:
        if ref.tenant != DEFAULT_TENANT or options or not ops:
            return self._engine.write(ref, ops, **options)
        if all(isinstance(op, Put) and op.id and op.text is None and op.payload is not KEEP for op in ops):
            puts = [op for op in ops if isinstance(op, Put)]
            points = [_grpc_point(op) for op in puts]
            if all(point is not None for point in points):
                known = self._engine.get(ref, [op.id or "" for op in puts])
                self._cross(lambda: self._client.upsert(ref.name, [point for point in points if point]))
                return self._outcomes(ref, ops, known)
        if len(ops) == 1 and isinstance(ops[0], Delete) and ops[0].id:
            point_id = ops[0].id
            known = self._engine.get(ref, [point_id])
            self._cross(lambda: self._client.delete(ref.name, point_id))
            return self._outcomes(ref, ops, known)
        return self._engine.write(ref, ops, **options)

    def get(self, ref: CollectionRef, ids: Sequence[str], *, include: Include = Include()) -> Points:
        points = self._engine.get(ref, ids, include=include)
        if ref.tenant == DEFAULT_TENANT and len(ids) == 1 and ids[0]:
            try:
                got = self._cross(lambda: self._client.get(ref.name, ids[0]))
            except errors.PointNotFound:
                assert points == [None]
                return [None]
            return [_filled(points[0], got.id, got.vector, got.payload, include)]
        return points

    def search(self, ref: CollectionRef, request: SearchRequest, *, deadline: float | None = None) -> Results:
        plain = SearchRequest(legs=request.legs, k=request.k, include=request.include)
        single = len(request.legs) == 1 and request.legs[0].vectors.ndim == 2 and len(request.legs[0].vectors) == 1
        known = single and request.legs[0].field == "" and request.k > 0 and np.isfinite(request.legs[0].vectors).all()
        if ref.tenant != DEFAULT_TENANT or request != plain or not known or deadline is not None:
            return self._engine.search(ref, request, deadline=deadline)
        include = request.include
        hits = self._cross(
            lambda: self._client.search(
                ref.name,
                request.legs[0].vectors[0],
                request.k,
                include_vectors=include.vector,
                include_payload=include.payload,
            )
        )
        stored = self._engine.get(ref, [hit.id for hit in hits], include=include)
        return [
            SearchResult(
                hits=tuple(
                    Hit(_filled(point, hit.id, hit.vector, hit.payload, include), hit.score)
                    for hit, point in zip(hits, stored, strict=True)
                )
            )
        ]


def _grpc_point(op: Put) -> vectron_client.Point | None:
    """Return the point as the client takes it; None when its own checks would refuse it before the wire could."""
    if op.vector.dtype != np.float32 or op.vector.ndim != 1 or not np.isfinite(op.vector).all() or not len(op.vector):
        return None
    assert not isinstance(op.payload, str)
    try:
        return vectron_client.Point(id=op.id or "", vector=op.vector, payload=dict(op.payload))
    except (vectron_client.VectronError, TypeError, ValueError):
        return None


def _filled(stored: Point | None, point_id: str, vector: Any, payload: Any, include: Include) -> Point:
    assert stored is not None
    return stored._replace(
        id=point_id,
        vector=np.asarray(vector, np.float32) if include.vector else None,
        payload=dict(payload) if include.payload else None,
    )


class ThroughRest(Wire):
    """A collection with serial ids is the server's collection of tokens.

    Its vectors have 256 components: shorter ones are filled up with zeros, which changes neither cosines nor lengths.
    """

    def __init__(self, engine: Engine, client: NeuroGraphClient) -> None:
        super().__init__(engine)
        self._client = client
        self._tokens = CollectionRef(DEFAULT_TENANT, "tokens")
        self._dimensions: dict[CollectionRef, int] = {}

    def create(self, spec: CollectionSpec) -> CollectionInfo:
        if spec.ids is not IdKind.SERIAL or self._dimensions or spec.ref.tenant != DEFAULT_TENANT:
            return self._engine.create(spec)
        self._dimensions[spec.ref] = spec.dimension
        return replace(self._engine.describe(self._tokens), spec=spec)

    def describe(self, ref: CollectionRef) -> CollectionInfo:
        return self._engine.describe(self._tokens if ref in self._dimensions else ref)

    def write(self, ref: CollectionRef, ops: Sequence[Op], **options: Any) -> WriteResult:
        if ref not in self._dimensions:
            return self._engine.write(ref, ops, **options)
        padded = [op._replace(vector=self._pad(ref, op.vector)) if isinstance(op, Put) else op for op in ops]
        if options or not all(self._travels(op) for op in padded):
            return self._engine.write(self._tokens, padded, **options)
        ids = self._cross(lambda: [self._send(op) for op in padded])
        stored = self._engine.get(self._tokens, ids)
        seq = self._engine.describe(self._tokens).seq
        kinds = {Put: OutcomeStatus.CREATED, Patch: OutcomeStatus.PATCHED, Delete: OutcomeStatus.DELETED}
        outcomes = [
            Outcome(point_id, kinds[type(op)], point.version if point else seq)
            for op, point_id, point in zip(padded, ids, stored, strict=True)
        ]
        at = max((point.updated_at for point in stored if point is not None), default=0)
        return WriteResult(seq=seq, outcomes=tuple(outcomes), at=at)

    def _travels(self, op: Op) -> bool:
        if isinstance(op, Put):
            whole = op.payload is not KEEP and op.text is not KEEP
            return op.id is None and whole and bool(np.isfinite(op.vector).all())
        exists = isinstance(op, Patch | Delete) and self._engine.get(self._tokens, [op.id]) != [None]
        return exists and not (isinstance(op, Patch) and op.text is not KEEP)

    def _send(self, op: Op) -> str:
        tokens = self._client.tokens
        if isinstance(op, Put):
            [token] = tokens.create_many([{"text": op.text, "metadata": op.payload, "embedding": op.vector.tolist()}])
            return str(token.id)
        if isinstance(op, Patch):
            metadata = UNSET if op.payload is KEEP else op.payload
            return str(tokens.update(int(op.id), metadata=metadata).id)
        assert isinstance(op, Delete)
        tokens.delete(int(op.id))
        return op.id

    def get(self, ref: CollectionRef, ids: Sequence[str], *, include: Include = Include()) -> Points:
        if ref not in self._dimensions:
            return self._engine.get(ref, ids, include=include)
        points = self._engine.get(self._tokens, ids, include=include)
        return [None if point is None else self._read(ref, point, include) for point in points]

    def _read(self, ref: CollectionRef, point: Point, include: Include) -> Point:
        token = self._cross(lambda: self._client.tokens.get(int(point.id)))
        return self._filled(ref, point, token, include)

    def _filled(self, ref: CollectionRef, point: Point, token: Token, include: Include) -> Point:
        return point._replace(
            id=str(token.id),
            vector=np.asarray(token.embedding, np.float32)[: self._dimensions[ref]] if include.vector else None,
            payload=token.metadata if include.payload else None,
            text=token.text if include.text else None,
        )

    def search(self, ref: CollectionRef, request: SearchRequest, *, deadline: float | None = None) -> Results:
        if ref not in self._dimensions:
            return self._engine.search(ref, request, deadline=deadline)
        results = []
        for row in request.legs[0].vectors:
            query = self._pad(ref, row).tolist()
            hits = self._cross(lambda query=query: self._client.tokens.query(query, top_k=request.k))  # type: ignore[misc]
            points = self._engine.get(self._tokens, [str(hit.token.id) for hit in hits], include=request.include)
            results.append(
                SearchResult(
                    hits=tuple(
                        Hit(self._filled(ref, point, hit.token, request.include), 1 - hit.similarity)
                        for hit, point in zip(hits, points, strict=True)
                        if point is not None
                    )
                )
            )
        return results

    def scroll(self, ref: CollectionRef, request: ScrollRequest, *, deadline: float | None = None) -> ScrollPage:
        if ref not in self._dimensions:
            return self._engine.scroll(ref, request, deadline=deadline)
        page = self._engine.scroll(self._tokens, request, deadline=deadline)
        if request.cursor is None and request.filter is None and request.order == Order():
            tokens = self._cross(lambda: self._client.tokens.list(limit=request.limit, offset=request.offset))
            assert [str(token.id) for token in tokens] == [point.id for point in page.points]
        return page

    def count(self, ref: CollectionRef, filter: Any = None, *, deadline: float | None = None) -> int:
        if ref not in self._dimensions:
            return self._engine.count(ref, filter, deadline=deadline)
        if filter is None:
            return self._cross(self._client.health.status).tokens_count
        return self._engine.count(self._tokens, filter, deadline=deadline)

    def drop(self, ref: CollectionRef) -> None:
        if self._dimensions.pop(ref, None) is None:
            self._engine.drop(ref)

    def _pad(self, ref: CollectionRef, vector: Vector) -> Vector:
        padded = np.zeros(256, np.float32)
        padded[: len(vector)] = vector
        assert len(vector) == self._dimensions[ref]
        return padded
