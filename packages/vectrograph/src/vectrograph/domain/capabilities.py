"""Capabilities, limits and maintenance tasks of an engine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from vectrograph.domain.collections import Distance


class MaintenanceTask(StrEnum):
    """Maintenance task of an engine.

    checkpoint: fold the log into the file. flush: publish buffered rows now. verify: check every checksum. repair:
    rebuild what is derived and salvage what is readable. measure_recall: compare searches with exact ones.
    """

    CHECKPOINT = "checkpoint"
    FLUSH = "flush"
    VERIFY = "verify"
    REPAIR = "repair"
    MEASURE_RECALL = "measure_recall"


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceReport:
    """Result of a maintenance task, per collection in `details` where there is something to tell."""

    task: MaintenanceTask
    healthy: bool
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """The largest things an engine takes."""

    max_dimension: int
    max_id_bytes: int
    max_payload_bytes: int
    max_text_bytes: int
    max_batch: int
    max_k: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Differences between engines. The conformance suite asks nothing else.

    Attributes:
        shared: whether other processes may write to the same collections, so that a log has to be looked at.
    """

    name: str
    conditional_writes: bool
    idempotency: bool
    changes: bool
    durable: bool
    filter_nodes: frozenset[str]
    orderings: frozenset[str]
    distances: frozenset[Distance]
    maintenance: frozenset[MaintenanceTask]
    limits: EngineLimits
    shared: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)
