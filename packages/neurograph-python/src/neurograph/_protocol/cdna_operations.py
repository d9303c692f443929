"""Calls about CDNA, as values. No I/O."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from neurograph._protocol import decoding
from neurograph._protocol.call import Call
from neurograph._protocol.encoding import checked, encode, plain_text, segment, vector, whole
from neurograph._wirekit import values
from neurograph.exceptions import ValidationError
from neurograph.models import (
    CDNAConfig,
    CDNAExport,
    CDNAHistory,
    CDNAProfile,
    CDNAProfiles,
    CDNAQuarantine,
    CDNAState,
    CDNAStatus,
    CDNASwitch,
    CDNAUpdate,
    CDNAValidation,
)
from neurograph.wire import Request

_CDNA = "/api/v1/cdna"
_FACTORS = ("curiosity_scale", "novelty_scale", "affinity_scale")


def get_status() -> Call[CDNAStatus]:
    """Read scales and quarantine."""
    return Call(Request("GET", f"{_CDNA}/status"), decoding.cdna_status)


def configure(config: CDNAConfig) -> Call[CDNAState]:
    """Set profile and factors; a repeat sets the same."""
    if not isinstance(config, CDNAConfig):
        raise ValidationError.of("config", f"is {type(config).__name__}; pass a CDNAConfig")
    return _configuring({"profile": plain_text(config.profile, "profile"), **_factors(config)})


def update(change: CDNAUpdate) -> Call[CDNAState]:
    """Set the factors that are given."""
    if not isinstance(change, CDNAUpdate):
        raise ValidationError.of("change", f"is {type(change).__name__}; pass a CDNAUpdate")
    factors = _factors(change)
    if not factors:
        raise ValidationError.of("change", "changes nothing; set curiosity_scale, novelty_scale or affinity_scale")
    return _configuring(factors)


def set_scales(scales: Sequence[float]) -> Call[CDNAState]:
    """Set all eight scales."""
    return _configuring({"dimension_scales": vector(scales, "scales")})


def _configuring(body: dict[str, Any]) -> Call[CDNAState]:
    return Call(Request("PUT", f"{_CDNA}/config", encode(body)), decoding.cdna)


def _factors(given: CDNAConfig | CDNAUpdate) -> dict[str, float]:
    asked = {name: getattr(given, name) for name in _FACTORS}
    return {name: checked(values.real, value, name) for name, value in asked.items() if value is not None}


def list_profiles() -> Call[CDNAProfiles]:
    """Read all profiles."""
    return Call(Request("GET", f"{_CDNA}/profiles"), decoding.cdna_profiles)


def get_profile(profile_id: str) -> Call[CDNAProfile]:
    """Read one profile."""
    return Call(Request("GET", _profile_path(profile_id)), decoding.cdna_profile)


def switch(profile_id: str) -> Call[CDNASwitch]:
    """Switch to the scales of a profile; a repeat switches to the same."""
    return Call(Request("POST", f"{_profile_path(profile_id)}/switch"), decoding.cdna_switch)


def validate(scales: Sequence[float]) -> Call[CDNAValidation]:
    """Check scales; nothing is stored."""
    body = encode({"scales": vector(scales, "scales")})
    return Call(Request("POST", f"{_CDNA}/validate", body), decoding.cdna_validation)


def get_quarantine() -> Call[CDNAQuarantine]:
    """Read the quarantine."""
    return Call(Request("GET", f"{_CDNA}/quarantine/status"), decoding.cdna_quarantine)


def start_quarantine(duration: int) -> Call[CDNAQuarantine]:
    """Start a quarantine; not to be repeated, a second one is refused."""
    seconds = whole(duration, "duration")
    request = Request("POST", f"{_CDNA}/quarantine/start?{urlencode({'duration': seconds})}")
    return Call(request, decoding.cdna_quarantine_started, idempotent=False)


def stop_quarantine(apply: bool) -> Call[bool]:
    """Stop the quarantine; not to be repeated, there is none any more."""
    if not isinstance(apply, bool):
        raise ValidationError.of("apply", f"is {type(apply).__name__}; pass True or False")
    request = Request("POST", f"{_CDNA}/quarantine/stop?apply={str(apply).lower()}")
    return Call(request, decoding.cdna_quarantine_stopped, idempotent=False)


def history(limit: int) -> Call[CDNAHistory]:
    """Read the newest actions."""
    query = urlencode({"limit": whole(limit, "limit")})
    return Call(Request("GET", f"{_CDNA}/history?{query}"), decoding.cdna_history)


def export() -> Call[CDNAExport]:
    """Read scales and the newest actions; a POST that changes nothing."""
    return Call(Request("POST", f"{_CDNA}/export"), decoding.cdna_export)


def reset() -> Call[CDNAState]:
    """Return to the scales of the beginning; a repeat does the same."""
    return Call(Request("POST", f"{_CDNA}/reset"), decoding.cdna_reset)


def _profile_path(profile_id: str) -> str:
    return f"{_CDNA}/profiles/{segment(profile_id, 'profile_id')}"
