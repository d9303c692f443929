"""A user's program with vectors, time-outs and a journal; it is type-checked, not run."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from typing_extensions import assert_type

from neurograph import AsyncNeuroGraphClient, BulkResult, NeuroGraphClient, Token, TokenQueryResult


def synchronous(client: NeuroGraphClient, rows: NDArray[np.float32]) -> None:
    token = client.tokens.create("hello", embedding=rows[0], timeout=3)
    assert_type(token.embedding, list[float])
    assert_type(token.vector, NDArray[np.float32])
    assert_type(client.tokens.query_many(rows, top_k=3, timeout=None), list[list[TokenQueryResult]])
    assert_type(client.embeddings.create(["a"]), list[list[float]])
    assert_type(client.embeddings.create(["a"], as_array=True), NDArray[np.float32])
    result = client.tokens.create_many(({"text": "a", "embedding": row} for row in rows), journal=Path("load.journal"))
    assert_type(result, BulkResult)
    assert_type(result.resumed, int)


async def asynchronous(client: AsyncNeuroGraphClient, texts: AsyncIterator[str]) -> None:
    assert_type(await client.tokens.create_many(texts, journal="load.journal", timeout=60), BulkResult)
    assert_type([token async for token in client.tokens.stream(timeout=5)], list[Token])
    assert_type(await client.embeddings.create(["a"], as_array=True), NDArray[np.float32])
