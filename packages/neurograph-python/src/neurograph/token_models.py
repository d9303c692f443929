"""Tokens, what is asked of them and what comes back, as pydantic models; `neurograph.models` has all of them."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from neurograph._wirekit.vectors import to_list
from neurograph.model_bases import Answer, Question

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SHOWN_COMPONENTS = 3
_PACKED = "_packed"  # where a token keeps an embedding that nobody has looked at yet


class Token(Answer):  # noqa: PLW1641 - equal by content, which changes: it has no hash
    """A text with its vector.

    Attributes:
        id: small positive integer, never reused.
        text: None when the token has only a vector.
        embedding: float32 components as a plain list, made when it is first looked at; empty when the server sent none.
        metadata: any JSON object.
        created_at: with time zone.
        updated_at: with time zone; None when the server does not tell.

    >>> Token(id=7, text="hello", embedding=[0.5, -1.0]).embedding
    [0.5, -1.0]
    """

    id: int
    text: str | None = None
    embedding: list[float]
    metadata: dict[str, Any] | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def vector(self) -> "NDArray[np.float32]":
        """The embedding as a numpy array of shape (dimension,), without a Python float in between.

        Changes to it do not reach the token; it may be read-only.

        Raises:
            ImportError: numpy is not installed.

        >>> Token(id=1, embedding=[0.5, -1.0]).vector.dtype.name
        'float32'
        """
        import numpy as np

        fields = vars(self)
        if "embedding" in fields or _PACKED not in fields:
            return np.array(self.embedding, dtype=np.float32)
        return np.frombuffer(fields[_PACKED], dtype="<f4")

    def hold(self, packed: bytes) -> None:
        """Takes an embedding that came as float32 in little-endian; for this library's own use.

        >>> token = Token(id=1, embedding=[])
        >>> token.hold(bytes.fromhex("0000003f000080bf"))
        >>> token.embedding
        [0.5, -1.0]
        """
        fields = vars(self)  # and no private attribute, which would double the cost of every token
        del fields["embedding"]
        fields[_PACKED] = packed

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """What is not there yet: a list of the embedding that came packed."""
            if name == "embedding":
                self._unpack()
                if name in self.__dict__:
                    return self.__dict__[name]
            return super().__getattr__(name)

    def _unpack(self) -> None:
        fields = vars(self)
        if _PACKED not in fields:
            return
        present = {"embedding": to_list(fields[_PACKED]), **fields}
        ordered = {name: present[name] for name in type(self).model_fields if name in present}
        object.__setattr__(self, "__dict__", ordered)  # at once, for whoever looks from another thread

    @model_serializer(mode="wrap")
    def _whole(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        self._unpack()
        fields: dict[str, Any] = handler(self)
        return fields

    def __iter__(self) -> Iterator[tuple[str, Any]]:  # type: ignore[override]
        self._unpack()
        yield from super().__iter__()

    def __eq__(self, other: object) -> bool:
        for token in (self, other):
            if isinstance(token, Token):
                token._unpack()
        return super().__eq__(other)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        self._unpack()
        for name, value in super().__repr_args__():
            yield name, _Shortened(value) if name == "embedding" else value


class _Shortened:
    """The repr of a vector, cut after a few components."""

    def __init__(self, components: list[float]) -> None:
        self._components = components

    def __repr__(self) -> str:
        if len(self._components) <= _SHOWN_COMPONENTS:
            return repr(self._components)
        shown = ", ".join(map(repr, self._components[:_SHOWN_COMPONENTS]))
        return f"[{shown}, … {len(self._components)} in all]"


class TokenPage(list[Token]):
    """The tokens of one page: a plain list that also knows where it stands.

    Attributes:
        total: tokens on the server altogether; None when the server does not tell.
        limit: tokens asked for.
        offset: tokens before this page.

    >>> page = TokenPage([Token(id=1, embedding=[])], total=3, limit=1, offset=0)
    >>> len(page), page.total
    (1, 3)
    """

    def __init__(self, tokens: Iterable[Token] = (), *, total: int | None = None, limit: int, offset: int) -> None:
        super().__init__(tokens)
        self.total = total
        self.limit = limit
        self.offset = offset

    @property
    def has_more(self) -> bool:
        """Whether tokens come after this page; a guess by its length when the server tells no total.

        >>> TokenPage([Token(id=1, embedding=[])], total=3, limit=1, offset=0).has_more
        True
        """
        if self.total is None:
            return len(self) >= self.limit > 0
        return bool(self) and self.offset + len(self) < self.total

    def __reduce__(self) -> tuple[Any, ...]:
        return _page, (list(self), self.total, self.limit, self.offset)


def _page(tokens: list[Token], total: int | None, limit: int, offset: int) -> TokenPage:
    return TokenPage(tokens, total=total, limit=limit, offset=offset)


class TokenCreate(Question):
    """A token to be created.

    Attributes:
        text: what the token says.
        metadata: any JSON object.
        embedding: its vector; the server embeds the text when absent.

    >>> TokenCreate(text="hello", metadata={"lang": "en"}).text
    'hello'
    """

    text: str
    metadata: dict[str, Any] | None = None
    embedding: list[float] | None = None


class TokenQuery(Question):
    """A search by vector.

    Attributes:
        query_vector: as many components as the server's model has.
        top_k: hits wanted; 0 means the server's default.
        threshold: least cosine similarity of a hit, itself included.

    >>> TokenQuery(query_vector=[0.5, -1.0]).top_k
    10
    """

    query_vector: list[float]
    top_k: int = 10
    threshold: float | None = None


class TokenQueryResult(Answer):
    """One hit of a query.

    Attributes:
        token: the token found.
        similarity: cosine similarity, 1 for the same direction, higher is closer.
        distance: 1 − similarity, lower is closer.

    >>> hit = TokenQueryResult(token=Token(id=7, embedding=[]), similarity=0.75, distance=0.25)
    >>> hit.token.id, hit.similarity
    (7, 0.75)
    """

    token: Token
    similarity: float
    distance: float | None = None


class DeletedTokens(Answer):
    """What became of a request to delete many tokens.

    Attributes:
        deleted: tokens that existed and are gone now; an id that is given twice counts once.
        missing: ids asked for that no token has.

    >>> DeletedTokens(deleted=2, missing=[7]).missing
    [7]
    """

    deleted: int
    missing: list[int] = Field(default_factory=list)
