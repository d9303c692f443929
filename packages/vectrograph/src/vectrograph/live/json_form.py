"""JSON of events, as all transports over HTTP write it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from msgspec import UNSET, Raw, Struct, UnsetType

from vectrograph.services.live.events import Changed

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class PointData(Struct, frozen=True, omit_defaults=True):
    """A point as it is when its event is delivered."""

    version: int
    payload: Raw | UnsetType = UNSET
    text: str | UnsetType | None = UNSET


class ChangeData(Struct, frozen=True, omit_defaults=True):
    """A change of a point."""

    id: int | str
    version: int
    matches: bool | UnsetType = UNSET
    point: PointData | UnsetType = UNSET


def data_of(data: Changed | Mapping[str, Any]) -> ChangeData | Mapping[str, Any]:
    """Return the data of an event as they are to be encoded.

    >>> data_of(Changed("a", 42)), data_of({"n": 1})
    (ChangeData(id='a', version=42, matches=UNSET, point=UNSET), {'n': 1})
    """
    if not isinstance(data, Changed):
        return data
    point: PointData | UnsetType = UNSET
    if data.point is not None:
        payload = data.point.payload
        point = PointData(data.point.version, UNSET if payload is UNSET else Raw(payload), data.point.text)
    return ChangeData(data.id, data.version, UNSET if data.matches is None else data.matches, point)


@lru_cache(maxsize=64)
def time_of(at: int) -> str:
    """Return microseconds since 1970 as a time in UTC. All changes of a write have the same.

    >>> time_of(1_796_126_523_123_456)
    '2026-12-01T12:02:03.123456Z'
    """
    moment = _EPOCH + timedelta(microseconds=at)
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
