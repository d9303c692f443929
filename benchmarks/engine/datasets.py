"""The vectors that are measured, cut or generated once and kept in a git-ignored folder.

tokens: the embedding table of the wordllama wheel, 31,000 rows × 256 and 1,000 rows held out as queries. patches:
60,000 × 784 grey values of photographs, 1,000 held out. clustered: 128 components, any number of rows, generated from
a stated seed.

The rows of a source have one order, so a smaller set is always the beginning of a greater one.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.engine.photos import cut_patches

Vectors: TypeAlias = NDArray[np.float32]

CACHE: Final = Path(__file__).resolve().parents[1] / "cache"
SEED: Final = 20_240_817
QUERIES: Final = 1_000
_FORMAT: Final = 1
_TOKENS: Final = 31_000
_PATCHES: Final = 60_000
_CHUNK: Final = 10_000


@dataclass(frozen=True, slots=True)
class Cell:
    """Vectors under a distance: the column of the table of results.

    source: tokens, patches or clustered. rows: how many are stored. distance: cosine, dot or euclidean.
    """

    source: str
    rows: int
    distance: str

    def __str__(self) -> str:
        return f"{self.source} {self.rows:,} {self.distance}"


class DataSet:
    """The stored rows and the held-out queries of one source."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        self.rows: int = about["rows"]
        self.dimension: int = about["dimension"]

    @cached_property
    def queries(self) -> Vectors:
        """The held-out queries, (1000, dimension); none of them is a stored row."""
        queries: Vectors = np.load(self.folder / "queries.npy")
        return queries

    def mapped(self) -> Vectors:
        """Return all rows as a read-only mapping, (rows, dimension)."""
        return np.memmap(self.folder / "vectors.f32", np.float32, "r", shape=(self.rows, self.dimension))

    def read(self, first: int, count: int) -> Vectors:
        """Return rows from `first` as a fresh array: read, not mapped, so that they leave nothing in the memory
        figures.
        """
        offset = first * self.dimension * 4
        count = min(count, self.rows - first) * self.dimension
        flat = np.fromfile(self.folder / "vectors.f32", np.float32, count, offset=offset)
        return flat.reshape(-1, self.dimension)

    def batches(self, first: int, last: int, size: int) -> Iterator[tuple[int, Vectors]]:
        """Yield position of the first row, and the rows, of consecutive batches of `size`."""
        for start in range(first, last, size):
            yield start, self.read(start, min(size, last - start))


def load(source: str, rows: int, cache: Path = CACHE) -> DataSet:
    """Return a data set from the cache, made first when it is not there.

    Raises:
        ValueError: the source is not known, or has fewer rows.
    """
    folder = cache / f"{source}-{rows}-v{_FORMAT}"
    if not (folder / "about.json").exists():
        if source not in _MAKERS:
            raise ValueError(f"Unknown data set {source!r}: there are {', '.join(_MAKERS)}.")
        folder.mkdir(parents=True, exist_ok=True)
        _MAKERS[source](folder, rows)
    return DataSet(folder)


def _write(folder: Path, queries: Vectors, chunks: Iterator[Vectors], rows: int) -> None:
    with (folder / "vectors.f32").open("wb") as file:
        for chunk in chunks:
            np.ascontiguousarray(chunk, np.float32).tofile(file)
    np.save(folder / "queries.npy", np.ascontiguousarray(queries, np.float32))
    about = {"rows": rows, "dimension": int(queries.shape[1]), "seed": SEED}
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")


def _make_tokens(folder: Path, rows: int) -> None:
    table = token_table()
    table = table[np.abs(table).sum(axis=1) > 0]
    order = np.random.default_rng(SEED).permutation(len(table))
    _split(folder, table[order], rows, min(_TOKENS, len(table) - QUERIES))


def _make_patches(folder: Path, rows: int) -> None:
    _split(folder, cut_patches(_PATCHES + QUERIES, SEED), rows, _PATCHES)


def _split(folder: Path, shuffled: Vectors, rows: int, most: int) -> None:
    if rows > most:
        raise ValueError(f"This source has {most:,} rows, {rows:,} were asked for.")
    _write(folder, shuffled[:QUERIES], iter([shuffled[QUERIES : QUERIES + rows]]), rows)


def token_table() -> Vectors:
    """Return the embedding table of the installed wordllama package, (32000, 256) float32.

    Raises:
        FileNotFoundError: wordllama is not installed, or ships no table.
    """
    from safetensors.numpy import load_file

    spec = find_spec("wordllama")
    origin = Path(spec.origin).parent if spec is not None and spec.origin is not None else None
    files = sorted(origin.glob("weights/*_256.safetensors")) if origin is not None else []
    if not files:
        raise FileNotFoundError("No embedding table found: install wordllama.")
    table: Vectors = next(iter(load_file(files[0]).values())).astype(np.float32)
    return table


def _make_clustered(folder: Path, rows: int) -> None:
    """2,000 clusters of unequal size that touch; within one, rows vary along 24 directions, and a little in all 128."""
    dimension, clusters, inner = 128, 2_000, 24
    shape = np.random.default_rng(SEED)
    centres = 0.5 * shape.normal(size=(clusters, dimension)).astype(np.float32)
    directions = shape.normal(size=(16, inner, dimension)).astype(np.float32) / np.sqrt(inner)
    weight = shape.zipf(1.5, clusters).clip(1, 200).astype(np.float64)
    weight /= weight.sum()

    def chunk(number: int) -> Vectors:
        generator = np.random.default_rng((SEED, number))
        which = generator.choice(clusters, _CHUNK, p=weight)
        out = centres[which] + 0.3 * generator.normal(size=(_CHUNK, dimension)).astype(np.float32)
        for kind, basis in enumerate(directions):
            mine = which % len(directions) == kind
            out[mine] += generator.normal(size=(int(mine.sum()), inner)).astype(np.float32) @ basis
        return out.astype(np.float32)

    def chunks() -> Iterator[Vectors]:
        for start in range(0, rows, _CHUNK):
            yield chunk(1 + start // _CHUNK)[: rows - start]

    _write(folder, chunk(0)[:QUERIES], chunks(), rows)


_MAKERS: Final[dict[str, Callable[[Path, int], None]]] = {
    "tokens": _make_tokens,
    "patches": _make_patches,
    "clustered": _make_clustered,
}
