"""Grids of the mock clients: the answers of a server, computed in plain Python."""

import math
from typing import Any, TypeAlias

from neurograph._mock_cdna import CDNAMemory

_Fields: TypeAlias = "dict[str, Any]"

LEVELS = (
    "L1Physical",
    "L2Sensory",
    "L3Motor",
    "L4Emotional",
    "L5Cognitive",
    "L6Social",
    "L7Temporal",
    "L8Abstract",
)
# Parts of a token that stand beside its coordinates, with the values of a token that was given none.
FIELD_DEFAULTS = {"weight": 0.5, "field_radius": 1.0, "field_strength": 1.0}
# Factor of derived coordinates: the server's.
_DERIVED_SCALE = 300.0


def coordinates(token: _Fields) -> _Fields:
    """Return the place of a token in each level: as given, else derived from the embedding as the server does."""
    given = token.get("given_coordinates") or {}
    embedding = token["embedding"]
    size = len(embedding)
    places: _Fields = {}
    for level, name in enumerate(LEVELS):
        if name in given:
            places[name] = {"position": [float(axis) for axis in given[name]], "derived": False}
            continue
        position = []
        for k in range(3 * level, 3 * level + 3):
            scale = math.sqrt((1 if k == 0 else 2) / size) if k < size else 0.0
            total = sum(x * math.cos(math.pi * (2 * n + 1) * k / (2 * size)) for n, x in enumerate(embedding))
            position.append(_DERIVED_SCALE * scale * total if scale else 0.0)
        places[name] = {"position": position, "derived": True}
    return places


class Grids:
    """Grids over the tokens of a memory.

    Args:
        tokens: by id; the same dictionary that the memory changes.
        cdna: has the scale of each level in distances across all.
    """

    def __init__(self, tokens: dict[int, _Fields], cdna: CDNAMemory) -> None:
        self._tokens = tokens
        self._cdna = cdna
        self._grids: dict[int, _Fields] = {}
        self._last = 0

    def status(self) -> _Fields:
        """Answer which grids there are."""
        message = f"{len(self._grids)} grids of a mock."
        return {"available": True, "grids_count": len(self._grids), "grid_ids": [*self._grids], "message": message}

    def create(self, body: _Fields) -> _Fields:
        """Make a grid."""
        self._last += 1
        config = {"bucket_size": 10.0, "density_threshold": 0.5, "min_field_nodes": 3, **body}
        self._grids[self._last] = {"config": config, "members": {}}
        return {"grid_id": self._last, "config": config, "status": "created"}

    def get(self, grid_id: int) -> _Fields:
        """Answer one grid.

        Raises:
            KeyError: there is none; so in all that follow.
        """
        return {
            "grid_id": grid_id,
            "token_count": len(self._members(grid_id)),
            "config": self._grids[grid_id]["config"],
        }

    def delete(self, grid_id: int) -> None:
        """Remove a grid."""
        del self._grids[grid_id]

    def add(self, grid_id: int, ids: list[int]) -> _Fields:
        """Add tokens."""
        members, distinct = self._grids[grid_id]["members"], dict.fromkeys(ids)
        there = self._members(grid_id)
        added = [number for number in distinct if number in self._tokens and number not in there]
        members.update(dict.fromkeys(added))
        return {
            "grid_id": grid_id,
            "added": len(added),
            "present": [number for number in distinct if number in there],
            "missing": [number for number in distinct if number not in self._tokens],
            "grid_size": len(self._members(grid_id)),
        }

    def remove(self, grid_id: int, token_id: int) -> bool:
        """Remove a token; returns whether it was there."""
        if token_id not in self._members(grid_id):
            return False
        del self._grids[grid_id]["members"][token_id]
        return True

    def neighbors(self, grid_id: int, token_id: int, asked: _Fields) -> list[_Fields] | None:
        """Answer the tokens near one of them, None when it is not in the grid."""
        if token_id not in self._members(grid_id):
            return None
        space = asked.get("space", "0")
        center = self._place(token_id, space)
        near = self._near(grid_id, space, center, float(asked.get("radius", 10)))
        found = [{"token_id": number, "distance": distance} for distance, number in near if number != token_id]
        return found[: int(asked.get("max_results", 10))]

    def range(self, grid_id: int, asked: _Fields) -> _Fields:
        """Answer the tokens around a place."""
        space, center, radius = self._region(asked)
        near = self._near(grid_id, space, center, radius)
        offset, limit = int(asked.get("offset", 0)), int(asked.get("limit", 1000))
        results = [
            {
                "token_id": number,
                "distance": distance,
                "position": None if space == "all" else self._place(number, space),
            }
            for distance, number in near[offset : offset + limit]
        ]
        return {
            "center": center,
            "radius": radius,
            "results": results,
            "count": len(results),
            "total": len(near),
            "limit": limit,
            "offset": offset,
            "bucket_size": self._grids[grid_id]["config"]["bucket_size"],
        }

    def influence(self, grid_id: int, asked: _Fields) -> _Fields:
        """Answer the influence on a place."""
        space, center, radius = self._region(asked)
        total = 0.0
        for distance, number in self._near(grid_id, space, center, radius):
            field = {**FIELD_DEFAULTS, **self._tokens[number]["placement"]}
            if distance <= field["field_radius"]:
                share = distance / field["field_radius"] if field["field_radius"] else 0.0
                total += field["field_strength"] * (1 - share)
        return {"position": center, "radius": radius, "influence": total}

    def density(self, grid_id: int, asked: _Fields) -> _Fields:
        """Answer the density around a place."""
        space, center, radius = self._region(asked)
        count = len(self._near(grid_id, space, center, radius))
        dimensions = 24 if space == "all" else 3
        volume = math.pi ** (dimensions / 2) / math.gamma(dimensions / 2 + 1) * radius**dimensions
        return {"position": center, "radius": radius, "density": count / volume, "tokens_in_range": count}

    def _members(self, grid_id: int) -> list[int]:
        """Return the tokens of a grid; those that were deleted have left."""
        return [number for number in self._grids[grid_id]["members"] if number in self._tokens]

    def _place(self, number: int, space: str) -> list[float]:
        places = coordinates(self._tokens[number])
        if space != "all":
            position: list[float] = places[LEVELS[int(space)]]["position"]
            return position
        return [axis for name in LEVELS for axis in places[name]["position"]]

    def _near(self, grid_id: int, space: str, center: list[float], radius: float) -> list[tuple[float, int]]:
        found = []
        for number in self._members(grid_id):
            differences = [x - y for x, y in zip(self._place(number, space), center, strict=True)]
            if space == "all":
                differences = [self._cdna.scales[n // 3] * each for n, each in enumerate(differences)]
            distance = math.sqrt(sum(each * each for each in differences))
            if distance <= radius:
                found.append((distance, number))
        return sorted(found)

    def _region(self, asked: _Fields) -> tuple[str, list[float], float]:
        space = asked.get("space", "0")
        center = [float(asked.get(axis, 0)) for axis in "xyz"]
        if space == "all":
            center = [float(x) for x in asked["center"].split(",")] if "center" in asked else center * len(LEVELS)
        return space, center, float(asked.get("radius", 10))
