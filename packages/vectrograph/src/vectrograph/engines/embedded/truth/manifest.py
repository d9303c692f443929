"""The small file beside each collection's data that says what it is and how far its making or dropping came."""

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vectrograph.domain.collections import (
    CollectionRef,
    CollectionSpec,
    CollectionState,
    Distance,
    IdKind,
    Quantisation,
    VectorField,
)
from vectrograph.domain.errors import UnsupportedFormat
from vectrograph.engines.embedded.disk.durable import write_file

FORMAT: Final = 1
"""Number of the layout of directories, manifests and SQLite files that this version writes, and the newest it reads.

1 is that of the first release. Whoever changes the layout after that gives it the next number, and whatever brings an
older directory up to date raises the number of the database's own file first, so that older versions stay out."""

FILE_NAME: Final = "manifest.json"


class DamagedManifest(Exception):
    """The file is missing, is no manifest, or its checksum is wrong."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Manifest of a collection: `state` is creating, ready or dropping; `created_at` in microseconds since 1970.

    Without `recorded` it was made before there were records of the last commit, and may lack one.
    """

    spec: CollectionSpec
    state: CollectionState
    created_at: int
    recorded: bool = True

    def save(self, directory: Path) -> None:
        """Write it durably in place of an older one."""
        body: dict[str, Any] = {
            "format": FORMAT,
            "state": self.state.value,
            "created_at": self.created_at,
            "spec": spec_to_json(self.spec),
            "recorded": self.recorded,
        }
        write_file(directory / FILE_NAME, json.dumps({**body, "checksum": _checksum(body)}, indent=1).encode())

    @classmethod
    def load(cls, directory: Path) -> "Manifest":
        """Read it.

        Raises:
            DamagedManifest: there is none, or it does not hold.
        """
        try:
            body = json.loads((directory / FILE_NAME).read_bytes())
            if body.pop("checksum") != _checksum(body):
                raise DamagedManifest("its checksum is wrong")
            spec, state = spec_from_json(body["spec"]), CollectionState(body["state"])
            return cls(spec, state, int(body["created_at"]), bool(body.get("recorded", False)))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedManifest(f"it cannot be read ({error})") from error


def require_known_format(file: Path) -> None:
    """Refuse a manifest, or the database's own format file, of a newer version; a damaged one is not refused here.

    Whatever else a format changes: it is one JSON object with a number `format` and a `checksum` as computed here.

    Raises:
        UnsupportedFormat: its format number is greater than ours.
    """
    try:
        body = json.loads(file.read_bytes())
        intact = body.pop("checksum") == _checksum(body)
        number = body["format"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return
    if intact and isinstance(number, int) and number > FORMAT:
        raise unsupported(file, number)


def holds_format(file: Path) -> bool:
    """Return whether a manifest, or the database's own format file, is there and whole."""
    try:
        body = json.loads(file.read_bytes())
        return bool(body.pop("checksum") == _checksum(body))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def save_format(file: Path) -> None:
    """Write the database's own format file durably."""
    body = {"format": FORMAT}
    write_file(file, json.dumps({**body, "checksum": _checksum(body)}).encode())


def unsupported(file: Path, number: int) -> UnsupportedFormat:
    """Return the error of a file of a newer format."""
    return UnsupportedFormat(
        f"{file} has format {number} and this version reads up to {FORMAT}; nothing was touched. "
        "Open it with the newer version that wrote it."
    )


def spec_to_json(spec: CollectionSpec) -> dict[str, Any]:
    """Return a spec as JSON; `spec_from_json` reads it back."""
    fields = [_field_to_json(field) for field in spec.fields]
    return {"tenant": spec.ref.tenant, "name": spec.ref.name, "ids": spec.ids.value, "fields": fields}


def _field_to_json(field: VectorField) -> dict[str, Any]:
    body: dict[str, Any] = {
        "name": field.name,
        "dimension": field.dimension,
        "distance": field.distance.value,
        "model": field.model,
    }
    # Left out where it is the usual one. It is of no format of its own: only derived data depend on it, so a version
    # that does not know it reads the collection all the same.
    if field.quantisation is not Quantisation.INT8:
        body["quantisation"] = field.quantisation.value
    return body


def spec_from_json(body: dict[str, Any]) -> CollectionSpec:
    """Return the spec that `spec_to_json` wrote.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    fields = tuple(
        VectorField(
            name=f["name"],
            dimension=f["dimension"],
            distance=Distance(f["distance"]),
            model=f["model"],
            quantisation=Quantisation(f.get("quantisation", Quantisation.INT8)),
        )
        for f in body["fields"]
    )
    return CollectionSpec(ref=CollectionRef(body["tenant"], body["name"]), fields=fields, ids=IdKind(body["ids"]))


def _checksum(body: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(body, sort_keys=True).encode())
