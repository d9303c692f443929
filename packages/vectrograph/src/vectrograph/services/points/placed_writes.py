"""Payloads of tokens to be written: metadata with the placement beside it, each within its own limit."""

import json
from collections.abc import Sequence
from contextlib import suppress

from vectrograph.domain.errors import InvalidArgument, Place
from vectrograph.domain.grid import (
    GRID_KEY,
    PLACEMENT_BYTES,
    UNPLACED,
    Placement,
    PlacementChange,
    joined_payload,
    refuse_reserved_key,
    stored_placement,
)
from vectrograph.domain.limits import Limits
from vectrograph.domain.payloads import encode_payload
from vectrograph.domain.points import Keep, Payload, Put, WriteLimits


def new_placement(metadata: Payload | None, change: PlacementChange, place: Place) -> Placement:
    """Return the placement of a token to be made.

    Raises:
        InvalidArgument: the placement is not acceptable, or the metadata have the reserved key.
    """
    refuse_reserved_key(metadata, (*place, "payload"))
    return UNPLACED if change.is_empty else change.applied(UNPLACED, place)


def payloads_to_write(
    metadata: Sequence[Payload], placements: Sequence[Placement], limits: Limits
) -> tuple[list[Payload], WriteLimits]:
    """Return the payloads of one write, and the limits to write them with.

    A placement does not count towards the limit of the metadata. The engine measures both together, so where there is
    one, all metadata are measured here.

    Raises:
        InvalidArgument, TooLarge: metadata of a batch with a placement are not acceptable.
    """
    if all(placement is UNPLACED for placement in placements):
        return [*metadata], limits.write
    for position, each in enumerate(metadata):
        encode_payload(each, ("ops", position, "payload"), limits.max_payload_bytes)
    joined = [joined_payload(each, placement) for each, placement in zip(metadata, placements, strict=True)]
    return joined, WriteLimits(limits.max_batch, limits.max_payload_bytes + PLACEMENT_BYTES)


def with_placements(points: Sequence[Put]) -> Sequence[Put]:
    """Return points of the collection `tokens` as they are stored: a placement among the payload is checked.

    A client whose payloads hold nothing but text sends it as JSON text.

    Raises:
        InvalidArgument: a value under the reserved key is no placement.
    """
    if not any(GRID_KEY in point.payload for point in points if not isinstance(point.payload, Keep)):
        return points
    return [_with_placement(point, position) for position, point in enumerate(points)]


def _with_placement(point: Put, position: int) -> Put:
    if isinstance(point.payload, Keep) or GRID_KEY not in point.payload:
        return point
    document = point.payload[GRID_KEY]
    if isinstance(document, str):
        with suppress(ValueError, RecursionError):
            document = json.loads(document)
    placement = stored_placement(document)
    if placement is None:
        raise InvalidArgument.of(
            ("points", position, "payload", GRID_KEY),
            "is no placement of a token; send it as it was read, or leave it out",
        )
    metadata = {name: value for name, value in point.payload.items() if name != GRID_KEY}
    return point._replace(payload=joined_payload(metadata, placement))
