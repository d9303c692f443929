"""A graph together with the effort at which it is known to find what it should."""

from dataclasses import dataclass

from vectrograph.engines.embedded.graph.graph import Graph


@dataclass(frozen=True, slots=True)
class ServedGraph:
    """What a View has of an index.

    Attributes:
        graph: over the rows below `graph.covered`; those behind are searched exactly.
        beam: for `effort.beam_for`: what was measured to hold the target recall for ten neighbours. None when no beam
            does, so that every search is exact.
    """

    graph: Graph
    beam: int | None
