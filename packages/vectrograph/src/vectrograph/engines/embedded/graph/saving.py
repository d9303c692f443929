"""A graph in one file, written so that a crash leaves the old one or the new, and read so that damage is noticed.

Layout, little-endian: magic, format number, length of the head, the head (JSON: what the graph is of and how long each
array is), the arrays, the index as faiss writes it, and CRC-32 of everything before. The checksum is compared before
a byte is believed: faiss trusts the numbers it reads. CRC-32 runs at 2.3 GB/s here, BLAKE2b at 1.0; against accidents
it is as good.
"""

import json
import os
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from vectrograph.domain.values import Distance
from vectrograph.engines.embedded.durable import sync_directory
from vectrograph.engines.embedded.graph.code_space import CodeSpace, Quantisation
from vectrograph.engines.embedded.graph.damage import DamagedIndex
from vectrograph.engines.embedded.graph.graph import Graph
from vectrograph.engines.embedded.graph.hnsw import Hnsw
from vectrograph.engines.embedded.graph.nodes import Crowd, NodeTable

FORMAT: Final = 1

_MAGIC: Final = b"VGGRAPH\0"
_START: Final = struct.Struct("<8sII")
_CHECKSUM: Final = struct.Struct("<I")
_CHUNK_BYTES: Final = 4 << 20
_DTYPES: Final[Mapping[str, str]] = {
    "labels": "<i8",
    "centre": "<f4",
    "rows": "<i4",
    "keys": "<u8",
    "crowd_nodes": "<i4",
    "crowd_rows": "<i4",
    "crowd_firsts": "<i4",
    "unplaced": "<i8",
}


@dataclass(frozen=True, slots=True)
class SavedGraph:
    """A graph and the state of the collection it belongs to.

    Attributes:
        graph: over rows below `graph.covered`.
        labels: of these rows, ascending, int64.
        seq: of the last change it contains.
        vectors_checksum: what `VectorFile.sync` returned for these rows.
    """

    graph: Graph
    labels: NDArray[np.int64]
    seq: int
    vectors_checksum: int


def save_graph(saved: SavedGraph, path: Path, collection: str) -> None:
    """Write a graph durably in place of an older file; its rows must have been synced.

    Raises:
        OSError: the disk refuses; the old file stands.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            _write(saved, file, collection)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def load_graph(
    path: Path, collection: str, dimension: int, distance: Distance, between: Callable[[], None] = lambda: None
) -> SavedGraph:
    """Read a graph back.

    Args:
        path: of the file.
        collection: that it must belong to.
        dimension: that it must have.
        distance: that it must be for.
        between: called every 4 MB while the checksum is computed; may raise to stop.

    Raises:
        DamagedIndex: it is missing, damaged, of another collection, dimension, distance or format.
        OSError: the disk refuses.
    """
    try:
        with path.open("rb") as file:
            length = _verify(file, path, between)
            return _read(file, path, length, (collection, dimension, distance.value))
    except FileNotFoundError as error:
        raise DamagedIndex(f"{path} is missing") from error
    except (ValueError, KeyError, TypeError, RuntimeError, struct.error) as error:
        raise DamagedIndex(f"{path} holds its checksum and yet is no graph ({error})") from error


def _write(saved: SavedGraph, file: BinaryIO, collection: str) -> None:
    checksum = 0

    def put(content: bytes) -> int:
        nonlocal checksum
        checksum = zlib.crc32(content, checksum)
        file.write(content)
        return len(content)

    arrays = _arrays(saved)
    head = json.dumps({**_head(saved, collection), "arrays": {name: len(array) for name, array in arrays.items()}})
    put(_START.pack(_MAGIC, FORMAT, len(head)) + head.encode())
    for name, array in arrays.items():
        put(np.ascontiguousarray(array, _DTYPES[name]).tobytes())
    saved.graph.hnsw.write(put)
    file.write(_CHECKSUM.pack(checksum))


def _head(saved: SavedGraph, collection: str) -> dict[str, Any]:
    graph, space = saved.graph, saved.graph.space
    return {
        "collection": collection,
        "dimension": space.dimension,
        "distance": space.distance.value,
        "quantisation": space.quantisation.value,
        "scale": space.scale,
        "error": space.error,
        "radius": space.radius,
        "spill": space.spill,
        "outside": space.outside,
        "covered": graph.covered,
        "cut": graph.cut,
        "seq": saved.seq,
        "vectors_checksum": saved.vectors_checksum,
    }


def _arrays(saved: SavedGraph) -> dict[str, NDArray[Any]]:
    graph, table = saved.graph, saved.graph.table
    return {
        "labels": saved.labels,
        "centre": graph.space.centre,
        "rows": table.rows,
        "keys": table.keys,
        "crowd_nodes": table.crowd.nodes,
        "crowd_rows": table.crowd.rows,
        "crowd_firsts": table.crowd.firsts,
        "unplaced": graph.unplaced,
    }


def _verify(file: BinaryIO, path: Path, between: Callable[[], None]) -> int:
    """Compare the checksum; returns the length of what it covers."""
    length = os.fstat(file.fileno()).st_size - _CHECKSUM.size
    if length < _START.size:
        raise DamagedIndex(f"{path} is cut short")
    checksum, left = 0, length
    while left:
        between()
        chunk = file.read(min(_CHUNK_BYTES, left))
        if not chunk:
            raise DamagedIndex(f"{path} became shorter while it was read")
        checksum, left = zlib.crc32(chunk, checksum), left - len(chunk)
    if file.read() != _CHECKSUM.pack(checksum):
        raise DamagedIndex(f"the checksum of {path} does not hold")
    file.seek(0)
    return length


def _read(file: BinaryIO, path: Path, length: int, expected: tuple[str, int, str]) -> SavedGraph:
    magic, number, size = _START.unpack(file.read(_START.size))
    if magic != _MAGIC or number != FORMAT:
        raise DamagedIndex(f"{path} is no graph, or of another format than {FORMAT}")
    head = json.loads(file.read(size))
    if (head["collection"], head["dimension"], head["distance"]) != expected:
        raise DamagedIndex(f"{path} is of another collection, dimension or distance")
    arrays = {
        name: np.frombuffer(file.read(count * np.dtype(_DTYPES[name]).itemsize), _DTYPES[name])
        for name, count in head["arrays"].items()
    }
    hnsw = Hnsw.read(lambda wanted: file.read(min(wanted, length - file.tell())))
    space = CodeSpace(
        distance=Distance(head["distance"]),
        quantisation=Quantisation(head["quantisation"]),
        centre=arrays["centre"],
        scale=head["scale"],
        error=head["error"],
        radius=head["radius"],
        spill=head["spill"],
        outside=head["outside"],
    )
    crowd = Crowd(arrays["crowd_nodes"], arrays["crowd_rows"], arrays["crowd_firsts"])
    table = NodeTable(arrays["rows"], arrays["keys"], crowd)
    if not (len(hnsw) == len(table.rows) == len(table.keys) and hnsw.width == space.width):
        raise DamagedIndex(f"the parts of {path} do not fit together")
    graph = Graph(space, hnsw, table, arrays["unplaced"], head["covered"], head["cut"])
    return SavedGraph(graph, arrays["labels"], head["seq"], head["vectors_checksum"])
