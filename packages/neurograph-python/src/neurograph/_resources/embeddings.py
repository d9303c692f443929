# Generated from async_embeddings.py by tools/unasync.py; do not edit.
"""Text to vectors without storing anything; synchronous."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, overload

from neurograph._arguments import UNSET, Timeout
from neurograph._execution.executor import Executor
from neurograph._protocol import operations
from neurograph._protocol.vectors import Vectors, joined

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Embeddings:
    """Turn texts into vectors with the server's model."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    @overload
    def create(
        self, texts: Sequence[str], *, as_array: Literal[False] = False, timeout: Timeout = UNSET
    ) -> list[list[float]]: ...

    @overload
    def create(
        self, texts: Sequence[str], *, as_array: Literal[True], timeout: Timeout = UNSET
    ) -> "NDArray[np.float32]": ...

    def create(
        self,
        texts: Sequence[str],
        *,
        as_array: bool = False,
        timeout: Timeout = UNSET,
    ) -> "list[list[float]] | NDArray[np.float32]":
        """Turn texts into vectors; nothing is stored.

        Args:
            texts: any number of them; sent in batches.
            as_array: return a numpy array, float32 of shape (texts, dimension), without a Python float in between.
            timeout: seconds for this call; else the client's.

        Returns:
            A vector per text, in the same order, of the dimension of the server's model.

        Raises:
            ValidationError: an empty or too long text.
            ImportError: an array is wanted and numpy is not installed.

        >>> vectors = client.embeddings.create(["hello", "world"])
        >>> len(vectors), len(vectors[0])
        (2, 256)
        """
        parts: list[Vectors] = []
        for call in operations.embed(texts):
            part = self._executor.run(call, timeout)
            parts.append(part)
        if as_array:
            return joined(parts)
        return [vector for part in parts for vector in part.as_lists()]
