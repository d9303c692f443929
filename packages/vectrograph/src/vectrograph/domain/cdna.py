"""CDNA: eight scales that weight the distance across the levels of the Grid, their profiles, and the quarantine.

Every function here is pure: it takes a state and returns the next one. Storage, clock and measures belong to services.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from vectrograph.domain.errors import Conflict, InvalidArgument, NotFound

# Version of the meaning of scales and profiles; the official server sends the same number.
CDNA_VERSION: Final = "2.1.0"
LEVELS: Final = ("L1", "L2", "L3", "L4", "L5", "L6", "L7", "L8")
BOUNDS: Final = (20.0, 20.0, 20.0, 20.0, 30.0, 20.0, 30.0, 50.0)
"""Largest scale of each level. Those of the official server, but 30 for L7, so that its profile creative fits."""
# Share of the bound above which a scale earns a warning of caution. From the official server.
CAUTION_SHARE: Final = 0.5
# Share of the bound above which a scale earns a warning of danger. From the official server.
DANGER_SHARE: Final = 0.75
# Scale below which a level hardly counts. From the official design.
LOW_SCALE: Final = 0.1
# Ratio of the largest to the smallest scale above which one level hides the others. From the official design.
MAX_RATIO: Final = 100.0
# Shortest quarantine, in seconds. From the official design.
MIN_DURATION: Final = 30
# Longest quarantine, in seconds. From the official server.
MAX_DURATION: Final = 3_600
# Seconds of a quarantine whose caller does not say. From the official server.
DEFAULT_DURATION: Final = 300
# Growth of the resident memory of the process above which a quarantine is rolled back. From the official design.
MAX_MEMORY_GROWTH: Final = 0.5
MIN_MEMORY_GROWTH_MB: Final = 256.0
"""MiB of growth from which on memory is judged. A server of 100 MiB grows by half with its first large requests."""
# Share of broken connections above which a quarantine is rolled back. From the official design.
MAX_BROKEN_SHARE: Final = 0.1
# Share of failed requests above which a quarantine is rolled back. From the official design.
MAX_ERROR_SHARE: Final = 0.05
MIN_REQUESTS: Final = 20
"""Requests from which on shares are judged. With 20, one error is 5 % and no reason yet; two of two would be 100 %."""
MAX_HISTORY: Final = 1_000
"""Entries of the history that are kept for each tenant; the official server has the same limit."""
# Rounding of differences of decimal fractions, such as 2.2 - 1.7, in scales of at most 50.
_ROUNDING: Final = 1e-9
# Significant digits of a factor that is derived from scales: a product and its quotient differ in the last one or two.
_FACTOR_DIGITS: Final = 12

Scales: TypeAlias = tuple[float, ...]
"""One positive number for each level, L1 to L8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A named set of scales.

    Attributes:
        profile_id: name in calls.
        name: for display.
        scales: of the eight levels.
        description: what it is for.
        plasticity, evolution_rate: facts of the official profiles, which change no answer.
        restricted: whether scales may differ from those of the profile by at most `max_change`.
        max_change: see `restricted`; None where any change within the bounds is allowed.
    """

    profile_id: str
    name: str
    scales: Scales
    description: str
    plasticity: float
    evolution_rate: float
    restricted: bool = False
    max_change: float | None = None


MAX_CHANGE: Final = 0.5
"""Largest change of a scale in a quarantine, up or down from its value at the start: that of the official profile."""

_ALL_PROFILES: Final = (
    Profile(
        profile_id="explorer",
        name="Explorer",
        scales=(1.0, 1.5, 1.2, 2.0, 3.0, 2.5, 2.0, 5.0),
        description="Balanced weights with an emphasis on cognitive and abstract levels.",
        plasticity=0.8,
        evolution_rate=0.5,
    ),
    Profile(
        profile_id="analyzer",
        name="Analyzer",
        scales=(1.0, 1.0, 1.0, 1.5, 10.0, 5.0, 3.0, 20.0),
        description="Cognitive and abstract levels decide, the others hardly count.",
        plasticity=0.2,
        evolution_rate=0.1,
    ),
    Profile(
        profile_id="creative",
        name="Creative",
        scales=(1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0),
        description="Weights that grow from level to level.",
        plasticity=0.95,
        evolution_rate=0.8,
    ),
    Profile(
        profile_id="quarantine",
        name="Quarantine",
        scales=(1.0, 1.0, 1.0, 1.0, 2.0, 1.5, 1.0, 3.0),
        description="Nearly equal weights that can be changed a little only.",
        plasticity=0.1,
        evolution_rate=0.0,
        restricted=True,
        max_change=MAX_CHANGE,
    ),
)
PROFILES: Final[Mapping[str, Profile]] = MappingProxyType({each.profile_id: each for each in _ALL_PROFILES})
DEFAULT_PROFILE: Final = "explorer"

FACTORS: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {"curiosity_scale": (1, 4), "novelty_scale": (2, 7), "affinity_scale": (3, 5)}
)
"""Levels that each factor of the client models multiplies, counted from 0.

Curiosity: perceiving and understanding (L2 sensory, L5 cognitive). Novelty: acting and abstracting (L3 motor, L8
abstract). Affinity: feeling and belonging (L4 emotional, L6 social). L1 physical and L7 temporal are where and when,
which no factor changes.
"""


def profile_of(profile_id: str) -> Profile:
    """Return a profile by its id.

    Raises:
        NotFound: there is none.
    """
    found = PROFILES.get(profile_id)
    if found is None:
        raise NotFound(
            f"There is no profile {profile_id[:64]!r}; the profiles are {', '.join(PROFILES)}.",
            details={"profiles": list(PROFILES)},
        )
    return found


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of checking scales. `faults` are pairs of a position, None for all together, and a sentence."""

    warnings: tuple[str, ...] = ()
    faults: tuple[tuple[int | None, str], ...] = ()

    @property
    def valid(self) -> bool:
        """Return whether the scales can be used."""
        return not self.faults

    @property
    def errors(self) -> tuple[str, ...]:
        """The sentences of the faults, each with its level."""
        return tuple(text if place is None else f"{LEVELS[place]} {text}" for place, text in self.faults)


def validate(scales: Sequence[float]) -> Verdict:
    """Check scales against the bounds, and warn of those that are unwise.

    >>> validate((1, 1, 1, 1, 1, 1, 31, 1)).errors
    ('L7 is 31 and must be at most 30',)
    >>> validate((1, 1, 1, 1, 16, 1, 1, 1)).warnings
    ('L5 is 16, above 50 % of its bound 30: caution',)
    """
    if len(scales) != len(LEVELS):
        return Verdict(faults=((None, f"{len(scales)} scales were given and there are {len(LEVELS)} levels"),))
    faults = tuple(
        (place, fault)
        for place, (scale, bound) in enumerate(zip(scales, BOUNDS, strict=True))
        if (fault := _fault(scale, bound)) is not None
    )
    return Verdict(faults=faults) if faults else Verdict(warnings=tuple(_warnings(scales)))


def _fault(scale: float, bound: float) -> str | None:
    if not math.isfinite(scale):
        return "must be a finite number"
    if scale <= 0:
        return f"is {scale:g} and must be greater than 0"
    return f"is {scale:g} and must be at most {bound:g}" if scale > bound else None


def _warnings(scales: Sequence[float]) -> list[str]:
    found = []
    for level, scale, bound in zip(LEVELS, scales, BOUNDS, strict=True):
        for share, word in ((DANGER_SHARE, "danger"), (CAUTION_SHARE, "caution")):
            if scale > share * bound:
                found.append(f"{level} is {scale:g}, above {100 * share:g} % of its bound {bound:g}: {word}")
                break
        if scale < LOW_SCALE:
            found.append(f"{level} is {scale:g}, below {LOW_SCALE:g}: it hardly counts")
    if max(scales) / min(scales) > MAX_RATIO:
        found.append(f"the largest scale is more than {MAX_RATIO:g} times the smallest: one level hides the others")
    return found


class Ending(StrEnum):
    """Reason for which a quarantine ended by itself."""

    EXPIRED = "expired"
    MEMORY = "memory_growth"
    BROKEN = "connection_breaks"
    ERRORS = "error_rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """A trial of changes that is taken back unless it is applied. Times are microseconds since 1970.

    Attributes:
        profile, scales: before it began; its changes are measured from them, and its end restores them.
        memory_mb: resident memory of the process at the start, in MiB; 0 where it is not known.
    """

    started_at: int
    ends_at: int
    profile: str
    scales: Scales
    memory_mb: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CdnaState:
    """CDNA of one tenant.

    Attributes:
        profile: chosen last.
        scales: in force.
        changed_at: microseconds; None while nothing has been changed.
        quarantine: None while there is none.
    """

    profile: str = DEFAULT_PROFILE
    scales: Scales = PROFILES[DEFAULT_PROFILE].scales
    changed_at: int | None = None
    quarantine: Quarantine | None = None

    @property
    def is_modified(self) -> bool:
        """Return whether the scales differ from those of the profile."""
        return self.scales != PROFILES[self.profile].scales

    def factor(self, name: str) -> float | None:
        """Return by what a factor multiplies the scales of the profile; None where its two levels disagree.

        >>> CdnaState(scales=(1, 3, 1.2, 2, 6, 2.5, 2, 5)).factor("curiosity_scale")
        2.0
        """
        base = PROFILES[self.profile].scales
        first, second = (self.scales[place] / base[place] for place in FACTORS[name])
        return float(f"{first:.{_FACTOR_DIGITS}g}") if math.isclose(first, second, rel_tol=_ROUNDING) else None

    def is_over(self, now: int) -> bool:
        """Return whether there is a quarantine whose time has passed."""
        return self.quarantine is not None and now >= self.quarantine.ends_at

    def restored(self) -> "CdnaState":
        """Return the state from before the quarantine."""
        if self.quarantine is None:
            return self
        return replace(self, profile=self.quarantine.profile, scales=self.quarantine.scales, quarantine=None)


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the history, without its time."""

    action: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """The state after an action, and what the history gains by it.

    Attributes:
        clears: whether the history so far is forgotten.
    """

    state: CdnaState
    entries: tuple[Entry, ...]
    clears: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A change of the configuration; None leaves a part as it is.

    Attributes:
        profile: begins with the scales of this profile.
        scales: all eight.
        factors: name of a factor → by what it multiplies the scales of the profile at its levels.
    """

    profile: str | None = None
    scales: Sequence[float] | None = None
    factors: Mapping[str, float] = field(default_factory=dict)


def configured(state: CdnaState, wish: Wish, now: int) -> Step:
    """Return the state after a change of profile, scales or factors.

    Raises:
        InvalidArgument: nothing is to change, a scale is out of its bounds, or moves further than a quarantine or a
            restricted profile allows; names the first.
        NotFound: there is no such profile.
        Conflict: another profile is asked for in a quarantine.
    """
    if wish.profile is None and wish.scales is None and not wish.factors:
        raise InvalidArgument.of("body", "changes nothing; send profile, dimension_scales or a factor", "missing")
    if wish.scales is not None and wish.factors:
        raise InvalidArgument.of(
            "dimension_scales", f"leaves nothing for {', '.join(wish.factors)}; send either all scales or factors"
        )
    profile = profile_of(state.profile if wish.profile is None else wish.profile)
    if profile.profile_id != state.profile:
        _refuse_in_quarantine(state, "change the profile")
    scales = tuple(map(float, state.scales if wish.profile is None else profile.scales))
    if wish.scales is not None:
        scales = tuple(map(float, wish.scales))
    scales = _with_factors(scales, profile, wish.factors)
    _require_valid(scales)
    if profile.max_change is not None:
        _require_near(scales, profile.scales, profile.max_change, f"of profile {profile.profile_id}")
    if state.quarantine is not None:
        _require_near(scales, state.quarantine.scales, MAX_CHANGE, "at the start of the quarantine")
    after = replace(state, profile=profile.profile_id, scales=scales, changed_at=now)
    return Step(after, (Entry("config_update", {"changes": _changes(state, after)}),))


def _with_factors(scales: Scales, profile: Profile, factors: Mapping[str, float]) -> Scales:
    changed = list(scales)
    for name, factor in factors.items():
        if not math.isfinite(factor) or factor <= 0:
            raise InvalidArgument.of(name, "must be a finite number greater than 0", "out_of_range")
        for place in FACTORS[name]:
            changed[place] = profile.scales[place] * factor
            if changed[place] > BOUNDS[place]:
                raise InvalidArgument.of(
                    name,
                    f"is {factor:g}, which makes {LEVELS[place]} {changed[place]:g}; it must be at most "
                    f"{BOUNDS[place]:g}",
                    "out_of_range",
                )
    return tuple(changed)


def _require_valid(scales: Scales) -> None:
    for place, fault in validate(scales).faults:
        raise _scale_error(place, fault)


def _require_near(scales: Scales, origin: Scales, most: float, whose: str) -> None:
    """Go on when no scale is further from its origin than allowed."""
    for place, (scale, start) in enumerate(zip(scales, origin, strict=True)):
        if abs(scale - start) > most + _ROUNDING:
            raise _scale_error(
                place, f"is {scale:g} and may differ by at most {most:g} from {start:g}, its value {whose}"
            )


def _scale_error(place: int | None, text: str) -> InvalidArgument:
    if place is None:
        return InvalidArgument.of("dimension_scales", text, "out_of_range")
    return InvalidArgument.of(("dimension_scales", place), f"{LEVELS[place]} {text}", "out_of_range")


def _changes(before: CdnaState, after: CdnaState) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if before.profile != after.profile:
        changes["profile"] = {"from": before.profile, "to": after.profile}
    for level, old, new in zip(LEVELS, before.scales, after.scales, strict=True):
        if old != new:
            changes[level] = {"from": old, "to": new}
    return changes


def switched(state: CdnaState, profile_id: str, now: int) -> Step:
    """Return the state with the scales of a profile.

    Raises:
        NotFound: there is no such profile.
        Conflict: there is a quarantine.
    """
    profile = profile_of(profile_id)
    _refuse_in_quarantine(state, "switch the profile")
    after = replace(state, profile=profile_id, scales=profile.scales, changed_at=now)
    return Step(after, (Entry("profile_switch", {"from": state.profile, "to": profile_id}),))


def reset(state: CdnaState, now: int) -> Step:
    """Return the state of the beginning; the history is forgotten.

    Raises:
        Conflict: there is a quarantine.
    """
    _refuse_in_quarantine(state, "reset")
    return Step(CdnaState(changed_at=now), (Entry("reset"),), clears=True)


def started(state: CdnaState, duration: int, now: int, memory_mb: float) -> Step:
    """Return the state in a quarantine of so many seconds.

    Raises:
        Conflict: there is one already.
        InvalidArgument: the duration is out of range.
    """
    require_startable(state, duration)
    quarantine = Quarantine(
        started_at=now,
        ends_at=now + duration * 1_000_000,
        profile=state.profile,
        scales=state.scales,
        memory_mb=memory_mb,
    )
    return Step(replace(state, quarantine=quarantine), (Entry("quarantine_start", {"duration": duration}),))


def require_startable(state: CdnaState, duration: int) -> None:
    """Go on when a quarantine of so many seconds can start.

    Raises:
        Conflict: there is one already.
        InvalidArgument: the duration is out of range.
    """
    if not MIN_DURATION <= duration <= MAX_DURATION:
        raise InvalidArgument.of(
            "duration", f"is {duration} and must be from {MIN_DURATION} to {MAX_DURATION} seconds", "out_of_range"
        )
    _refuse_in_quarantine(state, "start another one")


def stopped(state: CdnaState, *, apply: bool, metrics: Mapping[str, Any], now: int) -> Step:
    """Return the state after a quarantine that its caller ends: with its changes applied, or without them.

    Raises:
        Conflict: there is none.
    """
    if state.quarantine is None:
        raise Conflict("There is no quarantine to stop; it may have ended by itself. The history says how.")
    stop = Entry("quarantine_stop", {"applied": apply})
    if apply:
        after = replace(state, quarantine=None, changed_at=now)
        return Step(after, (stop, Entry("quarantine_applied", {"metrics": dict(metrics)})))
    return Step(replace(state.restored(), changed_at=now), (stop,))


def ended(state: CdnaState, reason: Ending, metrics: Mapping[str, Any], now: int) -> Step:
    """Return the state after a quarantine that ended by itself; a state without one stays."""
    if state.quarantine is None:
        return Step(state, ())
    action = "quarantine_expired" if reason is Ending.EXPIRED else "quarantine_rollback"
    after = replace(state.restored(), changed_at=now)
    return Step(after, (Entry(action, {"reason": reason.value, "metrics": dict(metrics)}),))


def _refuse_in_quarantine(state: CdnaState, act: str) -> None:
    if state.quarantine is not None:
        raise Conflict(f"A quarantine is active: nobody can {act} before it ends; stop it, or wait until it expires.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """Measures of a quarantine since its start, or since the process started if that was later.

    Attributes:
        memory_growth: of the resident memory of the process, as a share of that at the start.
        memory_growth_mb: the same in MiB.
        connection_breaks: share of the tenant's requests whose caller left before the answer.
        error_rate: share of the tenant's requests that failed on the server's side.
        token_churn: tokens created and deleted, as a share of those there are; reported only.
        requests: requests of the tenant that were counted.
    """

    memory_growth: float = 0.0
    memory_growth_mb: float = 0.0
    connection_breaks: float = 0.0
    error_rate: float = 0.0
    token_churn: float = 0.0
    requests: int = 0

    def breach(self) -> Ending | None:
        """Return the measure for which a quarantine is rolled back; None while all are within their limits.

        >>> Measures(error_rate=0.06, requests=100).breach().value
        'error_rate'
        >>> Measures(error_rate=0.5, requests=2).breach() is None
        True
        """
        if self.memory_growth > MAX_MEMORY_GROWTH and self.memory_growth_mb >= MIN_MEMORY_GROWTH_MB:
            return Ending.MEMORY
        if self.requests < MIN_REQUESTS:
            return None
        if self.connection_breaks > MAX_BROKEN_SHARE:
            return Ending.BROKEN
        return Ending.ERRORS if self.error_rate > MAX_ERROR_SHARE else None
