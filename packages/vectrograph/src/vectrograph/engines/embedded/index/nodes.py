"""Rows behind each node of the graph.

A node is a distinct *code*. Rows with equal codes share it: equal vectors, vectors of one direction under cosine, and
vectors that differ by less than rounding. A graph with a node for each of a thousand equal codes would link them to
one another and to little else, and hide all but a few of them.

Nearly every node has one row, so that is all the arrays have room for; the rows of crowded nodes are kept beside
them. Rows of a crowded node that hold the same vector are scored once: `first` names the oldest of them.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vectrograph.domain.points import Vector
from vectrograph.engines.embedded.index.hnsw import Codes, Hnsw, Mask
from vectrograph.engines.embedded.index.hnsw import Nodes as NodeNumbers

Rows: TypeAlias = NDArray[np.int64]
Small: TypeAlias = NDArray[np.int32]
Keys: TypeAlias = NDArray[np.uint64]

# Seed of the factors of a hash. Fixed: hashes are saved with the graph.
_SEED: Final = 0x5EED
_HALF: Final = np.uint64(32)


@dataclass(frozen=True, slots=True)
class Crowd:
    """All rows of nodes with more than one, ordered by node, newest first; shape (m,) each.

    Attributes:
        nodes: which node.
        rows: which row.
        firsts: the oldest row of that node that holds the same vector.
    """

    nodes: Small
    rows: Small
    firsts: Small


class Members(NamedTuple):
    """Rows behind some nodes, best node first.

    Attributes:
        rows: shape (m,).
        firsts: the row whose vector is the same, shape (m,); the same array where no two rows share a vector.
        places: position of the node each row came from, shape (m,).
        matched: how many of the nodes have any of these rows.
    """

    rows: Rows
    firsts: Rows
    places: Rows
    matched: int


@dataclass(frozen=True, slots=True)
class NodeTable:
    """The rows of every node; immutable, `extend` makes the next one.

    Attributes:
        rows: the oldest row of each node, shape (nodes,).
        keys: sorted: a 32-bit hash of a node's code in the upper half, the node's number in the lower; shape (nodes,).
        crowd: of the nodes that have more.
    """

    rows: Small
    keys: Keys
    crowd: Crowd

    @classmethod
    def empty(cls) -> "NodeTable":
        """Return no nodes."""
        none = np.empty(0, np.int32)
        return cls(none, np.empty(0, np.uint64), Crowd(none, none, none))

    @property
    def nbytes(self) -> int:
        """Memory taken."""
        crowd = self.crowd
        return self.rows.nbytes + self.keys.nbytes + crowd.nodes.nbytes + crowd.rows.nbytes + crowd.firsts.nbytes

    def members(self, nodes: NodeNumbers, allowed: Mask | None) -> Members:
        """Return the rows behind nodes, those allowed only.

        Args:
            nodes: shape (n,), best first.
            allowed: by row; None for all.
        """
        if len(self.crowd.nodes):
            start = np.searchsorted(self.crowd.nodes, nodes, "left")
            if self._crowded(nodes, start):
                return self._spread(nodes, start, allowed)
        rows = self.rows.take(nodes).astype(np.int64)
        if allowed is None:
            return Members(rows, rows, np.arange(len(nodes)), len(rows))
        places = np.flatnonzero(allowed[rows])
        rows = rows[places]
        return Members(rows, rows, places, len(rows))

    def _crowded(self, nodes: NodeNumbers, start: Rows) -> bool:
        """Return whether any of these nodes has more than one row; `start` is where it would stand in the crowd."""
        crowd = self.crowd.nodes
        return bool((crowd[np.minimum(start, len(crowd) - 1)] == nodes).any())

    def _spread(self, nodes: NodeNumbers, start: Rows, allowed: Mask | None) -> Members:
        crowded = np.searchsorted(self.crowd.nodes, nodes, "right") - start
        counts = np.maximum(crowded, 1)
        places = np.repeat(np.arange(len(nodes)), counts)
        rows = self.rows[nodes].astype(np.int64)[places]
        firsts = rows.copy()
        inside = np.arange(len(places)) - np.repeat(np.cumsum(counts) - counts, counts)
        many = crowded[places] > 0
        source = (start[places] + inside)[many]
        rows[many], firsts[many] = self.crowd.rows[source], self.crowd.firsts[source]
        if allowed is not None:
            keep = allowed[rows]
            rows, firsts, places = rows[keep], firsts[keep], places[keep]
        return Members(rows, firsts, places, int(np.count_nonzero(np.diff(places, prepend=-1))))

    def allowed_nodes(self, allowed: Mask) -> Mask:
        """Return which nodes have an allowed row; `allowed` is by row."""
        count = len(self.rows)
        # Rows ascend: when the last has the number of its node, all have. Copying is sixty times quicker than picking.
        alike = count > 0 and int(self.rows[-1]) == count - 1
        nodes: Mask = allowed[:count].copy() if alike else allowed.take(self.rows)
        crowd = self.crowd
        if len(crowd.nodes):
            nodes[crowd.nodes[allowed[crowd.rows]]] = True
        return nodes

    def extend(self, rows: Rows, codes: Codes, graph: Hnsw, vectors: Vector) -> tuple["NodeTable", Rows]:
        """Return the table with more rows.

        Args:
            rows: ascending, above all present ones; shape (n,).
            codes: of these rows, shape (n, bytes).
            graph: has the codes of the present nodes.
            vectors: of all rows, present and new, by row.

        Returns:
            The next table, and which of the new rows (positions, ascending) need a node of their own, in its order.
        """
        hashes = _hash(codes)
        home = self._find(hashes, codes, graph)
        fresh, leader = _group(hashes, codes, home < 0)
        home = np.where(home < 0, len(self.rows) + np.searchsorted(fresh, leader), home)
        own = (hashes[fresh] << _HALF) | (len(self.rows) + np.arange(len(fresh), dtype=np.uint64))
        own.sort()
        table = NodeTable(
            np.concatenate([self.rows, rows[fresh].astype(np.int32)]),
            np.insert(self.keys, np.searchsorted(self.keys, own), own),
            self.crowd,
        )
        joining = np.ones(len(rows), np.bool_)
        joining[fresh] = False
        if joining.any():
            table = table._join(rows[joining], home[joining], vectors)
        return table, fresh

    def _find(self, hashes: Keys, codes: Codes, graph: Hnsw) -> Rows:
        """Return the present node of each code, -1 where there is none."""
        home = np.full(len(hashes), -1, np.int64)
        if not len(self.keys):
            return home
        slot = np.minimum(np.searchsorted(self.keys, hashes << _HALF), len(self.keys) - 1)
        alike = np.flatnonzero(self.keys[slot] >> _HALF == hashes)
        nodes = (self.keys[slot[alike]] & np.uint64(0xFFFFFFFF)).astype(np.int64)
        # A chance collision only costs a second node for the same code.
        same = (graph.codes(nodes) == codes[alike]).all(axis=1)
        home[alike[same]] = nodes[same]
        return home

    def _join(self, rows: Rows, nodes: Rows, vectors: Vector) -> "NodeTable":
        """Return the table with rows added to nodes that are there."""
        crowd = self.crowd
        alone = np.setdiff1d(nodes, crowd.nodes)
        touched = np.isin(crowd.nodes, nodes)
        known = np.concatenate([crowd.firsts[touched], self.rows[alone]])
        homes = np.concatenate([crowd.nodes[touched], alone])
        known, once = np.unique(known, return_index=True)
        all_rows, all_nodes = np.concatenate([known, rows]).astype(np.int64), np.concatenate([homes[once], nodes])
        firsts = _firsts(all_rows, all_nodes, vectors)[len(known) :]
        joined_nodes = np.concatenate([crowd.nodes, alone, nodes])
        joined_rows = np.concatenate([crowd.rows, self.rows[alone], rows])
        joined_firsts = np.concatenate([crowd.firsts, self.rows[alone], firsts])
        order = np.lexsort((-joined_rows, joined_nodes))
        parts = (part[order].astype(np.int32) for part in (joined_nodes, joined_rows, joined_firsts))
        return NodeTable(self.rows, self.keys, Crowd(*parts))


def _group(hashes: Keys, codes: Codes, wanted: Mask) -> tuple[Rows, Rows]:
    """Return positions of the first of each distinct code among the wanted, ascending; and for every position
    its first.
    """
    among = np.flatnonzero(wanted)
    order = among[np.argsort(hashes[among], kind="stable")]
    leader = np.arange(len(hashes))
    if len(order):
        changes = np.concatenate([[True], hashes[order[1:]] != hashes[order[:-1]]])
        leader[order] = order[changes][np.cumsum(changes) - 1]
        followers = np.flatnonzero(leader != np.arange(len(hashes)))
        other = followers[(codes[followers] != codes[leader[followers]]).any(axis=1)]
        leader[other] = other
    return among[leader[among] == among], leader


def _firsts(rows: Rows, nodes: Rows, vectors: Vector) -> Rows:
    """For each row the oldest of the same node and vector; the lower of two rows is the older."""
    # Adding zero makes one of the two zeros of IEEE 754.
    values = vectors[rows] + np.float32(0.0)
    hashes = _hash(values.view(np.uint8).reshape(len(rows), -1))
    order = np.lexsort((rows, hashes, nodes))
    changes = np.concatenate(
        [[True], (nodes[order[1:]] != nodes[order[:-1]]) | (hashes[order[1:]] != hashes[order[:-1]])]
    )
    leader = np.empty(len(rows), np.int64)
    leader[order] = order[changes][np.cumsum(changes) - 1]
    followers = np.flatnonzero(leader != np.arange(len(rows)))
    other = followers[(values[followers] != values[leader[followers]]).any(axis=1)]
    leader[other] = other
    return rows[leader]


def _hash(content: Codes) -> Keys:
    """Return a 32-bit hash of each row of bytes: multiply-shift with fixed odd numbers."""
    width = -(-content.shape[1] // 8)
    padded = content
    if content.shape[1] % 8:
        padded = np.zeros((len(content), 8 * width), np.uint8)
        padded[:, : content.shape[1]] = content
    words = np.ascontiguousarray(padded).view(np.uint64)
    factors = np.random.default_rng(_SEED).integers(0, 1 << 64, width, np.uint64) | np.uint64(1)
    mixed = words * factors
    mixed ^= mixed >> np.uint64(29)
    mixed *= factors
    hashes: Keys = np.add.reduce(mixed, axis=1) >> _HALF
    return hashes
