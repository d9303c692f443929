"""The reserved collection `tokens`: made at the first start, and refused under another model."""

from typing import Final

from vectrograph.domain.collections import (
    DEFAULT_TENANT,
    TOKENS_COLLECTION,
    CollectionInfo,
    CollectionRef,
    CollectionSpec,
    CollectionState,
    Distance,
    IdKind,
)
from vectrograph.domain.embedder import Embedder
from vectrograph.domain.errors import AlreadyExists, CollectionNotFound, StartupError
from vectrograph.engines.base import Engine

TOKENS: Final = CollectionRef(DEFAULT_TENANT, TOKENS_COLLECTION)


def ensure_tokens(engine: Engine, embedder: Embedder, tenant: str = DEFAULT_TENANT) -> CollectionInfo:
    """Return the collection of tokens, made when missing: cosine, the embedder's dimension and name, serial ids.

    A quarantined one is returned as it is, so that everything else serves.

    Raises:
        StartupError: it was made with another model, dimension, distance or kind of ids; nothing was changed.
    """
    ref = CollectionRef(tenant, TOKENS_COLLECTION)
    wanted = CollectionSpec.dense(ref, embedder.dimension, Distance.COSINE, model=embedder.name, ids=IdKind.SERIAL)
    info = _existing_or_new(engine, wanted)
    if info.state is not CollectionState.QUARANTINED and info.spec != wanted:
        raise StartupError(
            f"The collection {TOKENS_COLLECTION} holds {_described(info.spec)}, but this server embeds with "
            f"{_described(wanted)}: vectors of two models cannot be compared. Configure the model that it was made "
            "with, or use another data directory."
        )
    return info


def _existing_or_new(engine: Engine, wanted: CollectionSpec) -> CollectionInfo:
    try:
        return engine.describe(wanted.ref)
    except CollectionNotFound:
        pass
    try:
        return engine.create(wanted)
    except AlreadyExists:
        return engine.describe(wanted.ref)


def _described(spec: CollectionSpec) -> str:
    ids = "" if spec.ids is IdKind.SERIAL else f", {spec.ids.value} ids"
    return f"{spec.model or 'no model'} ({spec.dimension} components, {spec.distance.value}{ids})"
