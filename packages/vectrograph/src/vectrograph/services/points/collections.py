"""Collections: create, drop, list, describe."""

import logging
import threading
from typing import Final, TypeVar

from vectrograph.control.owners import CollectionOwners
from vectrograph.domain.collections import (
    TOKENS_COLLECTION,
    CollectionInfo,
    CollectionOutline,
    CollectionRef,
    CollectionSpec,
    Distance,
    Quantisation,
)
from vectrograph.domain.errors import AlreadyExists, DomainError, InvalidArgument, PermissionDenied, ReservedCollection
from vectrograph.domain.limits import Limits
from vectrograph.engines.base import Engine
from vectrograph.services.accounts.audit import Audit
from vectrograph.services.call import Call
from vectrograph.services.limits.validation import validate_name

_READ_SCOPES: Final = ("collections:read", "tokens:read")

_log: Final = logging.getLogger(__name__)

_Named = TypeVar("_Named", Distance, Quantisation)


class Catalog:
    """The collections of the caller's tenant. `tokens` is listed and described like any other, but is the server's.

    Args:
        engine: where they live.
        limits: enforced.
        audit: told what is dropped.
        owners: who made which.
        quantisation: of new collections, unless their maker says.
    """

    def __init__(
        self,
        engine: Engine,
        limits: Limits,
        audit: Audit,
        owners: CollectionOwners,
        quantisation: Quantisation = Quantisation.INT8,
    ) -> None:
        self._engine = engine
        self._owners = owners
        self._audit = audit
        self._limits = limits
        self._quantisation = quantisation
        # Held while a collection is made or dropped, so that its owner and it change together.
        self._changing = threading.Lock()

    def create(self, call: Call, name: str, dimension: int, distance: str, quantization: str = "") -> CollectionInfo:
        """Create an empty collection.

        Args:
            call: who asks.
            name: of the collection.
            dimension: components of a vector.
            distance: cosine, euclidean or dot; "" means euclidean.
            quantization: how its index stores a component: int8, float16 or float32; "" leaves it to the server.

        Raises:
            PermissionDenied: collections:write is missing.
            ReservedCollection: the name is `tokens`.
            InvalidArgument: name, dimension, distance or quantization is not acceptable.
            AlreadyExists: the name is taken.
            QuotaExceeded: the tenant, or the server, has as many collections as it may have.
        """
        ref = call.require_collection(name, "write")
        _refuse_reserved(name, "created")
        validate_name(name, "name", self._limits)
        if not 1 <= dimension <= self._limits.max_dimension:
            raise InvalidArgument.of(
                "dimension",
                f"is {dimension} and must be a positive number, at most {self._limits.max_dimension}",
                "greater_than" if dimension < 1 else "less_than_equal",
            )
        chosen = parse_quantization(quantization) if quantization else self._quantisation
        spec = CollectionSpec.dense(ref, dimension, parse_distance(distance), quantisation=chosen)
        with self._changing:
            return self._create(spec, call.principal.user_id)

    def _create(self, spec: CollectionSpec, owner: str) -> CollectionInfo:
        """Return the owner is written first: a collection that is there always has one. See `tidy` for the opposite."""
        tenant, name = spec.ref.tenant, spec.ref.name
        if spec.ref not in {info.spec.ref for info in self._engine.list(tenant)}:
            self._owners.claim(tenant, name, owner)
        try:
            return self._engine.create(spec)
        except AlreadyExists:
            raise
        except BaseException:
            self._forget(spec.ref)
            raise

    def drop(self, call: Call, name: str) -> None:
        """Remove a collection with everything in it.

        Raises:
            PermissionDenied: collections:delete is missing.
            ReservedCollection: the name is `tokens`.
            CollectionNotFound: there is none.
        """
        with self._audit.noting(call, "collection.delete", name):
            ref = call.require_collection(name, "delete")
            _refuse_reserved(name, "dropped")
            with self._changing:
                self._engine.drop(ref)
                self._forget(ref)

    def tidy(self) -> None:
        """Forget the owners of collections that are not there: a process died, or the account database did not answer,
        between the two steps of making or dropping one. For the start, before anyone calls.
        """
        there: dict[str, set[str]] = {}
        for tenant, name in self._owners.all():
            names = there.setdefault(tenant, set())
            if not names:
                names.update(info.spec.ref.name for info in self._engine.list(tenant))
            if name not in names:
                self._forget(CollectionRef(tenant, name))

    def _forget(self, ref: CollectionRef) -> None:
        """Remove what the account database says of a collection that is gone. A failure leaves it to `tidy`."""
        try:
            self._owners.remove(ref.tenant, ref.name)
        except DomainError as error:
            _log.warning("the owner of %s, which is gone, is forgotten at the next start: %s", ref, error.message)

    def list(self, call: Call) -> list[CollectionOutline]:
        """Return the collections that the caller may read, sorted by name, without their sizes.

        Raises:
            PermissionDenied: the caller may read none at all, neither `tokens` nor others.
        """
        scopes = call.principal.scopes
        if not scopes.intersection(_READ_SCOPES):
            raise PermissionDenied(
                "Listing collections requires the scope collections:read; use credentials with this scope.",
                details={"required_scope": _READ_SCOPES[0]},
            )
        reached = call.principal.collections
        collections_too, tokens_too = (scope in scopes for scope in _READ_SCOPES)
        return [
            outline
            for outline in self._engine.outline(call.principal.tenant)
            if (tokens_too if outline.spec.ref.name == TOKENS_COLLECTION else collections_too)
            and (reached is None or outline.spec.ref.name in reached)
        ]

    def describe(self, call: Call, name: str) -> CollectionInfo:
        """Return one collection as it stands.

        Raises:
            PermissionDenied: the read scope of that collection is missing.
            CollectionNotFound: there is none.
        """
        return self._engine.describe(call.require_collection(name, "read"))

    def owner(self, call: Call, name: str) -> str | None:
        """Return the user_id of who made a collection; None for `tokens`, which is the server's. The account may be
        gone.

        Raises:
            PermissionDenied: the read scope of that collection is missing.
            CollectionNotFound: there is none.
        """
        ref = self.describe(call, name).spec.ref
        return self._owners.get(ref.tenant, ref.name)


def parse_distance(text: str) -> Distance:
    """Return the distance that a text names.

    Raises:
        InvalidArgument: it names none; the message lists the three.

    >>> parse_distance("")
    <Distance.EUCLIDEAN: 'euclidean'>
    """
    return Distance.EUCLIDEAN if text == "" else _one_of(Distance, text, "distance")


def parse_quantization(text: str) -> Quantisation:
    """Return the way to store components that a text names.

    Raises:
        InvalidArgument: it names none; the message lists the three.

    >>> parse_quantization("float16")
    <Quantisation.FLOAT16: 'float16'>
    """
    return _one_of(Quantisation, text, "quantization")


def _one_of(kind: type[_Named], text: str, field: str) -> _Named:
    try:
        return kind(text)
    except ValueError as error:
        names = ", ".join(each.value for each in kind)
        shown = text if len(text) <= 40 else f"{text[:40]}…"
        raise InvalidArgument.of(field, f"is {shown!r} and must be one of {names}", "enum") from error


def _refuse_reserved(name: str, what: str) -> None:
    if name == TOKENS_COLLECTION:
        raise ReservedCollection(
            f"The collection {TOKENS_COLLECTION} belongs to the server and cannot be {what}; use another name.",
            details={"collection": name},
        )
