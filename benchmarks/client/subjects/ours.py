"""`neurograph` against this project's own server."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np

import vectrograph.app
from benchmarks.client.subjects.base import BATCH, Vectors
from neurograph import NeuroGraphClient
from vectrograph import running


class _Silent:
    """An embedder of the bench's dimension that nobody asks for anything: every token comes with its vector."""

    name = "none"

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension

    def load(self) -> None:
        """There is nothing to load."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Directions that mean nothing."""
        return np.full((len(texts), self.dimension), self.dimension**-0.5, dtype=np.float32)


@contextmanager
def serve(name: str, count: int, dimension: int) -> Iterator[str]:
    """The real server on a directory of its own; its tokens have vectors of the bench's dimension."""
    silent = patch.object(vectrograph.app, "WordllamaEmbedder", lambda: _Silent(dimension))
    with silent, tempfile.TemporaryDirectory() as folder, running(Path(folder) / "data", rate_limit=0) as server:
        yield f"{server.http_url} {server.api_key}"


class _Client:
    def __init__(self, url: str, api_key: str) -> None:
        self._client = NeuroGraphClient(url, api_key=api_key, timeout=120)

    def ways(self) -> tuple[str, ...]:
        return ("create_many",)

    def up(self, vectors: Vectors, way: str) -> int:
        items = ({"text": "t", "embedding": vector} for vector in vectors)
        return len(self._client.tokens.create_many(items, keep_tokens=False).created_ids)

    def down(self, count: int) -> Vectors:
        found = np.empty((count, 0), dtype=np.float32)
        for place, token in enumerate(self._client.tokens.iterate(page_size=BATCH)):
            if place == count:
                break
            if place == 0:
                found = np.empty((count, len(np.asarray(token.embedding, dtype=np.float32))), dtype=np.float32)
            found[place] = np.asarray(token.embedding, dtype=np.float32)
        return found

    def close(self) -> None:
        self._client.close()


def client(name: str, address: str) -> _Client:
    """The client as a user makes it."""
    return _Client(*address.split())
