"""`neurograph` against this project's own server."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from unittest.mock import patch

import numpy as np

from benchmarks.client.subjects.base import BATCH, Vectors
from neurograph import NeuroGraphClient


class _Silent:
    """An embedder of the bench's dimension that nobody asks for anything: every token comes with its vector."""

    name = "none"

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension

    def load(self) -> None:
        """There is nothing to load."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return directions that mean nothing."""
        return np.full((len(texts), self.dimension), self.dimension**-0.5, dtype=np.float32)


@contextmanager
def serve(name: str, count: int, dimension: int) -> Iterator[str]:
    """Provide the real server on a directory of its own; its tokens have vectors of the bench's dimension."""
    # The server has no place in the process of the client that is measured.
    import vectrograph.app
    from vectrograph import running

    silent = patch.object(vectrograph.app, "WordllamaEmbedder", lambda placement: _Silent(dimension))
    with silent, tempfile.TemporaryDirectory() as folder, running(Path(folder) / "data", rate_limit=0) as server:
        yield f"{server.http_url} {server.api_key}"


class _Client:
    def __init__(self, url: str, api_key: str) -> None:
        self._client = NeuroGraphClient(url, api_key=api_key, timeout=120)
        self._first = 1

    def ways(self) -> tuple[str, ...]:
        return ("create_many",)

    def up(self, vectors: Vectors, way: str) -> int:
        items = ({"text": "t", "embedding": vector} for vector in vectors)
        ids = self._client.tokens.create_many(items, keep_tokens=False).created_ids
        self._first = ids[0]
        return len(ids)

    def down(self, count: int) -> Vectors:
        tokens = (token for token in self._client.tokens.iterate(page_size=BATCH) if token.id >= self._first)
        return np.stack([token.vector for token in islice(tokens, count)])

    def close(self) -> None:
        self._client.close()


def client(name: str, address: str) -> _Client:
    """Return the client as a user makes it."""
    return _Client(*address.split())
