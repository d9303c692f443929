"""The bars of an attack: probes answered in time, memory that stays, a server that stops."""

from typing import Final

from benchmarks.attack.measuring import CALM, Measurement
from benchmarks.attack.target import SHUTDOWN_SECONDS

# Milliseconds, of the probes of another caller, on a machine where nothing else runs. Issue 11 set it.
MAX_P99_MS: Final = 250.0
# As in the load bench. An attacker's bodies are held while they are read.
MAX_GROWTH_MIB: Final = 256.0
# Documented in SECURITY.md: a stop takes five seconds more than `shutdown_seconds` at most.
MAX_STOP_SECONDS: Final = SHUTDOWN_SECONDS + 5.0


def problems(found: Measurement) -> list[str]:
    """Return every bar that was missed, in words; empty when all were met."""
    missed = []
    if found.broken:
        missed.append(f"the attack broke off: {found.broken}")
    elif not found.sent and found.attack != CALM:
        missed.append("nothing was sent, so there was no attack")
    if found.answered < found.asked or not found.asked:
        reasons = "; ".join(
            f"{kind}: {number} × {reason}" for kind, each in found.unanswered.items() for reason, number in each.items()
        )
        missed.append(f"{found.answered} of {found.asked} probes were answered ({reasons})")
    if (p99 := found.quantile(0.99)) >= MAX_P99_MS:
        missed.append(f"p99 {p99:.0f} ms is not under {MAX_P99_MS:.0f} ms")
    if (growth := found.memory_mib - found.memory_before_mib) > MAX_GROWTH_MIB:
        missed.append(f"memory grew by {growth:.0f} MiB, more than {MAX_GROWTH_MIB:.0f}")
    if found.stop_seconds > MAX_STOP_SECONDS:
        missed.append(f"the stop took {found.stop_seconds:.1f} s, more than {MAX_STOP_SECONDS:.0f}")
    if found.status:
        missed.append(f"the server ended with status {found.status}")
    return missed
