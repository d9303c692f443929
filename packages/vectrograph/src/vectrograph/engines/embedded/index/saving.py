"""A graph and the columns of its rows in one file, written so that a crash leaves the old one or the new.

Layout, little-endian: magic, format number, length of the head, the head (JSON: what the graph is of and how long each
array is), the arrays, the index as faiss writes it, where there is one, and CRC-32 of everything before. The checksum
is compared before a byte is believed: faiss trusts the numbers it reads. CRC-32 runs at 2.3 GB/s here, BLAKE2b at 1.0;
against accidents it is as good.
"""

import json
import os
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from vectrograph.domain.cancellation import Cancellation, never_cancelled
from vectrograph.domain.collections import Distance, Quantisation
from vectrograph.engines.embedded.disk.durable import create_file, sync_directory
from vectrograph.engines.embedded.disk.failures import DamagedIndex
from vectrograph.engines.embedded.index.code_space import CodeSpace
from vectrograph.engines.embedded.index.graph import Graph, ServedGraph
from vectrograph.engines.embedded.index.hnsw import Hnsw
from vectrograph.engines.embedded.index.nodes import Crowd, NodeTable

# Number of the format of the file; an index of another one is built anew.
FORMAT: Final = 2

_MAGIC: Final = b"VGGRAPH\0"
_START: Final = struct.Struct("<8sII")
_CHECKSUM: Final = struct.Struct("<I")
# Bytes read between two checks for cancellation.
_READ_BYTES: Final = 4 << 20
# Bytes written at a time. Chosen: memory stays small, and cancellation is noticed.
_WRITE_BYTES: Final = 1 << 20
_DTYPES: Final[Mapping[str, str]] = {
    "labels": "<i8",
    "created": "<i8",
    "lengths": "<f4",
    "live": "?",
    "centre": "<f4",
    "rows": "<i4",
    "keys": "<u8",
    "crowd_nodes": "<i4",
    "crowd_rows": "<i4",
    "crowd_firsts": "<i4",
    "unplaced": "<i8",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedRows:
    """Rows, what is known of them besides their vectors, and a graph: one state of a collection.

    Attributes:
        served: a graph over the first of the rows; None while there is none.
        labels, created, lengths, live: as in a View, shape (rows,).
        seq: of the last change it contains.
        change: what the log of changes says of that one, so that another history with as many changes is noticed.
        vectors: name of the file that holds the vectors.
        checksum: what `VectorFile.sync` returned for these rows.
    """

    served: ServedGraph | None
    labels: NDArray[np.int64]
    created: NDArray[np.int64]
    lengths: NDArray[np.float32]
    live: NDArray[np.bool_]
    seq: int
    change: str
    vectors: str
    checksum: int


def save_rows(
    saved: SavedRows,
    path: Path,
    collection: str,
    dimension: int,
    distance: Distance,
    check_cancelled: Cancellation = never_cancelled,
) -> None:
    """Write a state durably in place of an older file; its vectors must have been synced.

    Args:
        saved: what to write.
        path: of the file.
        collection: that it belongs to.
        dimension: of its vectors.
        distance: that its graph is for.
        check_cancelled: called for every megabyte; may raise to stop.

    Raises:
        OSError: the disk refuses; the old file stands.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with create_file(temporary) as file:
            _write(saved, file, (collection, dimension, distance), check_cancelled)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def load_rows(
    path: Path, collection: str, dimension: int, distance: Distance, check_cancelled: Cancellation = never_cancelled
) -> SavedRows:
    """Read a state back.

    Args:
        path: of the file.
        collection: that it must belong to.
        dimension: that it must have.
        distance: that it must be for.
        check_cancelled: called every 4 MB while the checksum is computed; may raise to stop.

    Raises:
        DamagedIndex: it is missing, damaged, of another collection, dimension, distance or format.
        OSError: the disk refuses.
    """
    try:
        with path.open("rb") as file:
            length = _verify(file, path, check_cancelled)
            return _read(file, path, length, (collection, dimension, distance))
    except FileNotFoundError as error:
        raise DamagedIndex(f"{path} is missing") from error
    except (ValueError, KeyError, TypeError, IndexError, RuntimeError, struct.error) as error:
        raise DamagedIndex(f"{path} holds its checksum and yet is not what was written ({error})") from error


def _write(saved: SavedRows, file: BinaryIO, owner: tuple[str, int, Distance], check_cancelled: Cancellation) -> None:
    checksum = 0

    def put(content: bytes | memoryview) -> int:
        nonlocal checksum
        check_cancelled()
        checksum = zlib.crc32(content, checksum)
        file.write(content)
        return len(content)

    arrays = _arrays(saved)
    head = json.dumps({**_head(saved, owner), "arrays": {name: len(array) for name, array in arrays.items()}})
    put(_START.pack(_MAGIC, FORMAT, len(head)) + head.encode())
    for name, array in arrays.items():
        # Piece by piece and in place: copying holds the GIL, and the arrays of a large collection take long.
        content = np.ascontiguousarray(array, _DTYPES[name]).view(np.uint8)
        for start in range(0, len(content), _WRITE_BYTES):
            put(content[start : start + _WRITE_BYTES].data)
    if saved.served is not None:
        saved.served.graph.hnsw.write(put)
    file.write(_CHECKSUM.pack(checksum))


def _head(saved: SavedRows, owner: tuple[str, int, Distance]) -> dict[str, Any]:
    collection, dimension, distance = owner
    return {
        "collection": collection,
        "dimension": dimension,
        "distance": distance.value,
        "seq": saved.seq,
        "change": saved.change,
        "vectors": saved.vectors,
        "checksum": saved.checksum,
        "graph": None if saved.served is None else _graph_head(saved.served),
    }


def _graph_head(served: ServedGraph) -> dict[str, Any]:
    graph, space = served.graph, served.graph.space
    return {
        "quantisation": space.quantisation.value,
        "scale": space.scale,
        "error": space.error,
        "radius": space.radius,
        "spill": space.spill,
        "outside": space.outside,
        "longest": space.longest,
        "covered": graph.covered,
        "cut": graph.cut,
        "beam": served.beam,
    }


def _arrays(saved: SavedRows) -> dict[str, NDArray[Any]]:
    rows: dict[str, NDArray[Any]] = {
        "labels": saved.labels,
        "created": saved.created,
        "lengths": saved.lengths,
        "live": saved.live,
    }
    if saved.served is None:
        return rows
    graph, table = saved.served.graph, saved.served.graph.table
    return {
        **rows,
        "centre": graph.space.centre,
        "rows": table.rows,
        "keys": table.keys,
        "crowd_nodes": table.crowd.nodes,
        "crowd_rows": table.crowd.rows,
        "crowd_firsts": table.crowd.firsts,
        "unplaced": graph.unplaced,
    }


def _verify(file: BinaryIO, path: Path, check_cancelled: Cancellation) -> int:
    """Compare the checksum; returns the length of what it covers."""
    length = os.fstat(file.fileno()).st_size - _CHECKSUM.size
    if length < _START.size:
        raise DamagedIndex(f"{path} is cut short")
    checksum, left = 0, length
    while left:
        check_cancelled()
        chunk = file.read(min(_READ_BYTES, left))
        if not chunk:
            raise DamagedIndex(f"{path} became shorter while it was read")
        checksum, left = zlib.crc32(chunk, checksum), left - len(chunk)
    if file.read() != _CHECKSUM.pack(checksum):
        raise DamagedIndex(f"the checksum of {path} does not hold")
    file.seek(0)
    return length


def _read(file: BinaryIO, path: Path, length: int, owner: tuple[str, int, Distance]) -> SavedRows:
    magic, number, size = _START.unpack(file.read(_START.size))
    if magic != _MAGIC or number != FORMAT:
        raise DamagedIndex(f"{path} is not one of ours, or of another format than {FORMAT}")
    head = json.loads(file.read(size))
    if (head["collection"], head["dimension"], head["distance"]) != (owner[0], owner[1], owner[2].value):
        raise DamagedIndex(f"{path} is of another collection, dimension or distance")
    arrays = {
        name: np.frombuffer(file.read(count * np.dtype(_DTYPES[name]).itemsize), _DTYPES[name])
        for name, count in head["arrays"].items()
    }
    rows = len(arrays["labels"])
    if any(len(arrays[name]) != rows for name in ("created", "lengths", "live")):
        raise DamagedIndex(f"the parts of {path} do not fit together")
    served = None
    if head["graph"] is not None:
        hnsw = Hnsw.read(lambda wanted: file.read(min(wanted, length - file.tell())))
        hnsw.settle()
        graph = _graph(head["graph"], arrays, hnsw, owner[2])
        if graph.covered > rows or len(graph.space.centre) != owner[1]:
            raise DamagedIndex(f"the graph in {path} is of more rows than there are, or of another dimension")
        served = ServedGraph(graph, head["graph"]["beam"])
    return SavedRows(
        served=served,
        labels=arrays["labels"],
        created=arrays["created"],
        lengths=arrays["lengths"],
        live=arrays["live"],
        seq=head["seq"],
        change=head["change"],
        vectors=head["vectors"],
        checksum=head["checksum"],
    )


def _graph(head: dict[str, Any], arrays: dict[str, NDArray[Any]], hnsw: Hnsw, distance: Distance) -> Graph:
    space = CodeSpace(
        distance=distance,
        quantisation=Quantisation(head["quantisation"]),
        centre=arrays["centre"],
        scale=head["scale"],
        error=head["error"],
        radius=head["radius"],
        spill=head["spill"],
        outside=head["outside"],
        longest=head["longest"],
    )
    crowd = Crowd(arrays["crowd_nodes"], arrays["crowd_rows"], arrays["crowd_firsts"])
    table = NodeTable(arrays["rows"], arrays["keys"], crowd)
    if not (len(hnsw) == len(table.rows) == len(table.keys) and hnsw.width == space.width):
        raise DamagedIndex("codes, links and rows do not fit together")
    return Graph(space, hnsw, table, arrays["unplaced"], head["covered"], head["cut"])
