"""CDNA in memory, for the mock clients: profiles, factors, bounds and quarantines as on the server; no measures."""

import math
import time
from datetime import datetime, timezone
from typing import Any, TypeAlias

_Fields: TypeAlias = "dict[str, Any]"
_Answer: TypeAlias = "tuple[int, Any]"

# Largest scale of each level, and the share of it above which there is a warning.
_BOUNDS = (20.0, 20.0, 20.0, 20.0, 30.0, 20.0, 30.0, 50.0)
_SHARES = ((0.75, "danger"), (0.5, "caution"))
# Largest change of a scale in a quarantine and of the profile quarantine, and the rounding of decimal fractions.
_MAX_CHANGE = 0.5
# See `_MAX_CHANGE`.
_ROUNDING = 1e-9
_PROFILES: "dict[str, tuple[tuple[float, ...], float, float]]" = {
    "explorer": ((1.0, 1.5, 1.2, 2.0, 3.0, 2.5, 2.0, 5.0), 0.8, 0.5),
    "analyzer": ((1.0, 1.0, 1.0, 1.5, 10.0, 5.0, 3.0, 20.0), 0.2, 0.1),
    "creative": ((1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0), 0.95, 0.8),
    "quarantine": ((1.0, 1.0, 1.0, 1.0, 2.0, 1.5, 1.0, 3.0), 0.1, 0.0),
}
_FACTORS = {"curiosity_scale": (1, 4), "novelty_scale": (2, 7), "affinity_scale": (3, 5)}


class Refused(Exception):
    """The request is answered with an error."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(status, code, message)
        self.status, self.code, self.message = status, code, message


class CDNAMemory:
    """Scales, history and quarantine of one tenant."""

    def __init__(self) -> None:
        self._profile = "explorer"
        self._scales = list(_PROFILES["explorer"][0])
        self._before: tuple[str, list[float], float] | None = None
        self._history: list[_Fields] = []

    @property
    def scales(self) -> "list[float]":
        """Scales in force."""
        self._settle()
        return self._scales

    def status(self, _: _Fields) -> _Answer:
        """Answer GET status."""
        quarantine = self.quarantine({})[1]
        return 200, {"cdna": self._shown(), "quarantine": quarantine, "history_count": len(self._history)}

    def configure(self, body: _Fields) -> _Answer:
        """Answer PUT config."""
        self._settle()
        profile = body.get("profile") or self._profile
        base = self._known(profile)[0]
        if profile != self._profile:
            self._refuse_in_quarantine()
        scales = list(base) if body.get("profile") else list(self._scales)
        if body.get("dimension_scales") is not None:
            scales = list(body["dimension_scales"])
        for name, places in _FACTORS.items():
            if body.get(name) is not None:
                for place in places:
                    scales[place] = base[place] * body[name]
        _, errors = _checked(scales)
        if errors:
            raise Refused(422, "VALIDATION_ERROR", f"dimension_scales: {errors[0]}")
        if self._before is not None:
            self._require_near(scales, self._before[1])
        if profile == "quarantine":
            self._require_near(scales, base)
        self._profile, self._scales = profile, scales
        self._note("config_update", changes={})
        return 200, {**self._shown(), "warnings": _checked(scales)[0]}

    def profiles(self, _: _Fields) -> _Answer:
        """Answer GET profiles."""
        return 200, {"profiles": {name: self.profile({}, name)[1] for name in _PROFILES}, "current": self._profile}

    def profile(self, _: _Fields, name: str) -> _Answer:
        """Answer GET profiles/{name}."""
        scales, plasticity, rate = self._known(name)
        restricted = name == "quarantine"
        return 200, {
            "id": name,
            "name": name.title(),
            "scales": list(scales),
            "description": "",
            "plasticity": plasticity,
            "evolution_rate": rate,
            "restricted": restricted,
            "max_change": _MAX_CHANGE if restricted else None,
        }

    def switch(self, _: _Fields, name: str) -> _Answer:
        """Answer POST profiles/{name}/switch."""
        self._settle()
        scales = list(self._known(name)[0])
        self._refuse_in_quarantine()
        old, self._profile, self._scales = self._profile, name, scales
        self._note("profile_switch", **{"from": old, "to": name})
        return 200, {"success": True, "old_profile": old, "new_profile": name, "scales": scales}

    def validate(self, body: _Fields) -> _Answer:
        """Answer POST validate."""
        warnings, errors = _checked(body["scales"])
        return 200, {"valid": not errors, "warnings": warnings, "errors": errors}

    def quarantine(self, _: _Fields) -> _Answer:
        """Answer GET quarantine/status."""
        self._settle()
        if self._before is None:
            return 200, {"active": False, "time_left": 0, "metrics": None, "started_at": None, "ends_at": None}
        left = math.ceil(self._before[2] - time.monotonic())
        return 200, {"active": True, "time_left": left, "metrics": {}, "started_at": None, "ends_at": None}

    def start(self, asked: _Fields) -> _Answer:
        """Answer POST quarantine/start."""
        self._settle()
        duration = int(asked.get("duration", 300))
        if not 30 <= duration <= 3600:
            raise Refused(422, "VALIDATION_ERROR", f"duration: is {duration} and must be from 30 to 3600 seconds")
        self._refuse_in_quarantine()
        self._before = (self._profile, list(self._scales), time.monotonic() + duration)
        self._note("quarantine_start", duration=duration)
        return 200, {"success": True, "message": "started", "duration": duration, "ends_at": None}

    def stop(self, asked: _Fields) -> _Answer:
        """Answer POST quarantine/stop."""
        self._settle()
        if self._before is None:
            raise Refused(409, "CONFLICT", "There is no quarantine to stop")
        applied = asked.get("apply") == "true"
        if not applied:
            self._restore()
        self._before = None
        self._note("quarantine_stop", applied=applied)
        if applied:
            self._note("quarantine_applied", metrics={})
        return 200, {"success": True, "message": "stopped", "applied": applied}

    def history(self, asked: _Fields) -> _Answer:
        """Answer GET history."""
        self._settle()
        newest = self._history[::-1][: int(asked.get("limit", 10))]
        return 200, {"history": newest, "total": len(self._history)}

    def export(self, _: _Fields) -> _Answer:
        """Answer POST export."""
        data = {"cdna": self._shown(), "history": self.history({"limit": 100})[1]["history"], "exported_at": _now()}
        return 200, {"success": True, "data": data, "filename": "cdna-mock.json"}

    def reset(self, _: _Fields) -> _Answer:
        """Answer POST reset."""
        self._settle()
        self._refuse_in_quarantine()
        self._profile, self._scales = "explorer", list(_PROFILES["explorer"][0])
        self._history.clear()
        self._note("reset")
        return 200, {"success": True, "message": "reset", "cdna": self._shown()}

    def _known(self, name: str) -> "tuple[tuple[float, ...], float, float]":
        if name not in _PROFILES:
            raise Refused(404, "RESOURCE_NOT_FOUND", f"There is no profile {name!r}")
        return _PROFILES[name]

    def _refuse_in_quarantine(self) -> None:
        if self._before is not None:
            raise Refused(409, "CONFLICT", "A quarantine is active")

    def _require_near(self, scales: "list[float]", origin: "list[float] | tuple[float, ...]") -> None:
        for place, (scale, start) in enumerate(zip(scales, origin, strict=True)):
            if abs(scale - start) > _MAX_CHANGE + _ROUNDING:
                message = f"dimension_scales.{place}: L{place + 1} is {scale:g} and may differ by at most 0.5"
                raise Refused(422, "VALIDATION_ERROR", message)

    def _settle(self) -> None:
        """End a quarantine whose time has passed."""
        if self._before is not None and time.monotonic() >= self._before[2]:
            self._restore()
            self._before = None
            self._note("quarantine_expired", reason="expired")

    def _restore(self) -> None:
        if self._before is not None:
            self._profile, self._scales, _ = self._before

    def _note(self, action: str, **details: Any) -> None:
        self._history.append({"action": action, "timestamp": _now(), **details})

    def _shown(self) -> _Fields:
        self._settle()
        base = _PROFILES[self._profile][0]
        shown: _Fields = {
            "version": "2.1.0",
            "profile": self._profile,
            "dimension_scales": list(self._scales),
            "timestamp": _now(),
            "changed_at": self._history[-1]["timestamp"] if self._history else None,
            "modified": self._scales != list(base),
        }
        for name, (one, other) in _FACTORS.items():
            first, second = self._scales[one] / base[one], self._scales[other] / base[other]
            shown[name] = float(f"{first:.12g}") if math.isclose(first, second) else None
        return shown


def _checked(scales: "list[float]") -> "tuple[list[str], list[str]]":
    """Return warnings and errors about scales."""
    if len(scales) != len(_BOUNDS):
        return [], [f"{len(scales)} scales were given and there are {len(_BOUNDS)} levels"]
    errors: list[str] = []
    warnings: list[str] = []
    for place, (scale, bound) in enumerate(zip(scales, _BOUNDS, strict=True), 1):
        if scale <= 0:
            errors.append(f"L{place} is {scale:g} and must be greater than 0")
        elif scale > bound:
            errors.append(f"L{place} is {scale:g} and must be at most {bound:g}")
        for share, word in _SHARES:
            if scale > share * bound:
                warnings.append(f"L{place} is {scale:g}, above {100 * share:g} % of its bound {bound:g}: {word}")
                break
        if scale < 0.1:
            warnings.append(f"L{place} is {scale:g}, below 0.1: it hardly counts")
    if not errors and max(scales) / min(scales) > 100:
        warnings.append("the largest scale is more than 100 times the smallest: one level hides the others")
    return ([], errors) if errors else (warnings, [])


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()
