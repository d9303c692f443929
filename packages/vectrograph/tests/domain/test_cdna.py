"""Scales, profiles and quarantines as pure functions."""

import math
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectrograph.domain.cdna import (
    BOUNDS,
    MAX_CHANGE,
    PROFILES,
    CdnaState,
    Ending,
    Measures,
    Step,
    Wish,
    configured,
    ended,
    reset,
    started,
    stopped,
    switched,
    validate,
)
from vectrograph.domain.errors import Conflict, InvalidArgument, NotFound

NOW = 1_700_000_000_000_000
EXPLORER = (1.0, 1.5, 1.2, 2.0, 3.0, 2.5, 2.0, 5.0)
EDGES = [
    0.0,
    -1.0,
    0.05,
    0.1,
    10.0,
    15.0,
    20.0,
    22.5,
    25.0,
    30.0,
    37.5,
    50.0,
    50.1,
    math.nan,
    math.inf,
    -math.inf,
    1e-320,
]
SCALES = st.lists(st.one_of(st.sampled_from(EDGES), st.floats(), st.floats(0.01, 60)), min_size=6, max_size=10)


def oracle(scales: Sequence[float]) -> tuple[bool, int, set[str]]:
    """Return whether scales are valid, how many errors they have, and which warnings, as the issue words it."""
    if len(scales) != 8:
        return False, 1, set()
    most = {1: 20, 2: 20, 3: 20, 4: 20, 5: 30, 6: 20, 7: 30, 8: 50}
    wrong = 0
    for level in range(1, 9):
        scale = scales[level - 1]
        good = not math.isnan(scale) and not math.isinf(scale) and scale > 0 and scale <= most[level]
        wrong += not good
    if wrong:
        return False, wrong, set()
    warned = set()
    for level in range(1, 9):
        scale = scales[level - 1]
        if scale > most[level] * 0.75:
            warned.add(f"L{level} danger")
        elif scale > most[level] * 0.5:
            warned.add(f"L{level} caution")
        if scale < 0.1:
            warned.add(f"L{level} hardly counts")
    if max(scales) / min(scales) > 100:
        warned.add("ratio")
    return True, 0, warned


def words(warning: str) -> str:
    if warning.startswith("the largest"):
        return "ratio"
    return f"{warning.partition(' ')[0]} {warning.rpartition(': ')[2].removeprefix('it ')}"


@given(SCALES)
def test_validation_equals_a_naive_one(scales: list[float]) -> None:
    verdict = validate(scales)
    found = (verdict.valid, len(verdict.errors), {words(warning) for warning in verdict.warnings})
    assert found == oracle(scales)


@given(st.lists(st.floats(0.001, 60), min_size=8, max_size=8))
def test_a_configuration_is_taken_exactly_when_it_is_valid(scales: list[float]) -> None:
    if validate(scales).valid:
        assert configured(CdnaState(), Wish(scales=scales), NOW).state.scales == tuple(scales)
    else:
        with pytest.raises(InvalidArgument) as caught:
            configured(CdnaState(), Wish(scales=scales), NOW)
        assert caught.value.details["errors"][0]["field"].startswith("dimension_scales[")


def test_the_profiles_are_those_of_the_contract_and_within_the_bounds() -> None:
    assert PROFILES["explorer"].scales == EXPLORER
    assert list(PROFILES["analyzer"].scales) == [1, 1, 1, 1.5, 10, 5, 3, 20]
    assert list(PROFILES["creative"].scales) == [1, 2, 3, 5, 8, 13, 21, 34]
    assert list(PROFILES["quarantine"].scales) == [1, 1, 1, 1, 2, 1.5, 1, 3]
    assert all(validate(profile.scales).valid for profile in PROFILES.values())
    assert list(BOUNDS) == [20, 20, 20, 20, 30, 20, 30, 50]
    for profile in PROFILES:
        assert configured(CdnaState(), Wish(profile=profile), NOW).state.scales == PROFILES[profile].scales


@pytest.mark.parametrize(
    ("name", "levels"), [("curiosity_scale", (1, 4)), ("novelty_scale", (2, 7)), ("affinity_scale", (3, 5))]
)
def test_a_factor_multiplies_two_levels_of_the_profile(name: str, levels: tuple[int, int]) -> None:
    once = configured(CdnaState(), Wish(factors={name: 1.5}), NOW).state
    expected = [scale * 1.5 if place in levels else scale for place, scale in enumerate(EXPLORER)]
    assert once.scales == tuple(expected)
    assert once.factor(name) == 1.5
    assert once.is_modified
    # The factor is one of the profile, not of what is in force: a repeat changes nothing.
    assert configured(once, Wish(factors={name: 1.5}), NOW).state.scales == once.scales
    assert configured(once, Wish(factors={name: 1.0}), NOW).state.scales == EXPLORER
    other = [1.0] * 8
    assert configured(once, Wish(scales=other), NOW).state.factor(name) is None


def test_a_factor_beyond_a_bound_is_named() -> None:
    with pytest.raises(InvalidArgument, match="novelty_scale: is 20, which makes L3 24"):
        configured(CdnaState(), Wish(factors={"novelty_scale": 20.0}), NOW)
    for factor in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(InvalidArgument, match="affinity_scale"):
            configured(CdnaState(), Wish(factors={"affinity_scale": factor}), NOW)


def test_a_wish_for_nothing_or_for_two_things_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="changes nothing"):
        configured(CdnaState(), Wish(), NOW)
    with pytest.raises(InvalidArgument, match="either"):
        configured(CdnaState(), Wish(scales=EXPLORER, factors={"novelty_scale": 1.0}), NOW)
    with pytest.raises(NotFound, match="explorer, analyzer"):
        configured(CdnaState(), Wish(profile="conservative"), NOW)


def test_a_restricted_profile_keeps_its_scales_near() -> None:
    state = switched(CdnaState(), "quarantine", NOW).state
    near = [scale + MAX_CHANGE for scale in state.scales]
    assert configured(state, Wish(scales=near), NOW).state.scales == tuple(near)
    near[4] += 0.1
    with pytest.raises(InvalidArgument, match="L5 is 2\\.6 and may differ by at most 0\\.5 from 2"):
        configured(state, Wish(scales=near), NOW)


def in_quarantine(state: CdnaState = CdnaState(), duration: int = 300) -> CdnaState:  # noqa: B008
    return started(state, duration, NOW, 100.0).state


def test_a_quarantine_limits_changes_to_what_was_there_at_its_start() -> None:
    state = in_quarantine()
    up = [scale + MAX_CHANGE for scale in EXPLORER]
    state = configured(state, Wish(scales=up), NOW).state
    further = [scale + MAX_CHANGE for scale in up]
    with pytest.raises(InvalidArgument, match="its value at the start of the quarantine"):
        configured(state, Wish(scales=further), NOW)
    down = [scale - MAX_CHANGE for scale in EXPLORER]
    assert configured(state, Wish(scales=down), NOW).state.scales == tuple(down)
    acts: list[Callable[[], Step]] = [
        lambda: switched(state, "creative", NOW),
        lambda: reset(state, NOW),
        lambda: configured(state, Wish(profile="creative"), NOW),
        lambda: started(state, 300, NOW, 1.0),
    ]
    for act in acts:
        with pytest.raises(Conflict, match="quarantine is active"):
            act()
    # The profile in force is no other one.
    assert configured(state, Wish(profile="explorer"), NOW).state.scales == EXPLORER


@pytest.mark.parametrize("duration", [-1, 0, 29, 3601, 10**30])
def test_a_duration_out_of_range_is_refused(duration: int) -> None:
    with pytest.raises(InvalidArgument, match="from 30 to 3600"):
        started(CdnaState(), duration, NOW, 1.0)


def test_the_ends_of_a_quarantine() -> None:
    changed = configured(in_quarantine(), Wish(factors={"curiosity_scale": 1.1}), NOW).state
    applied = stopped(changed, apply=True, metrics={"requests": 3}, now=NOW)
    assert (applied.state.scales, applied.state.quarantine) == (changed.scales, None)
    assert [entry.action for entry in applied.entries] == ["quarantine_stop", "quarantine_applied"]
    for step, action in (
        (stopped(changed, apply=False, metrics={}, now=NOW), "quarantine_stop"),
        (ended(changed, Ending.EXPIRED, {}, NOW), "quarantine_expired"),
        (ended(changed, Ending.MEMORY, {}, NOW), "quarantine_rollback"),
    ):
        assert (step.state.scales, step.state.quarantine) == (EXPLORER, None)
        assert [entry.action for entry in step.entries] == [action]
    assert ended(CdnaState(), Ending.EXPIRED, {}, NOW) == Step(CdnaState(), ())
    with pytest.raises(Conflict, match="no quarantine"):
        stopped(CdnaState(), apply=True, metrics={}, now=NOW)
    assert not changed.is_over(NOW + 299_999_999)
    assert changed.is_over(NOW + 300_000_000)


@pytest.mark.parametrize(
    ("measures", "reason"),
    [
        (Measures(memory_growth=0.5, memory_growth_mb=300), None),
        (Measures(memory_growth=9.0, memory_growth_mb=255), None),
        (Measures(memory_growth=0.51, memory_growth_mb=256), Ending.MEMORY),
        (Measures(connection_breaks=0.1, requests=20), None),
        (Measures(connection_breaks=0.11, requests=19), None),
        (Measures(connection_breaks=0.11, requests=20), Ending.BROKEN),
        (Measures(error_rate=0.05, requests=20), None),
        (Measures(error_rate=0.06, requests=19), None),
        (Measures(error_rate=0.06, requests=20), Ending.ERRORS),
        (Measures(token_churn=100.0, requests=1000), None),
    ],
)
def test_measures_above_their_limits_end_a_quarantine(measures: Measures, reason: Ending | None) -> None:
    assert measures.breach() is reason
