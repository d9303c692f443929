# Generated from async_cdna.py by tools/unasync.py; do not edit.
"""CDNA: scales of the levels of the Grid; synchronous."""

from collections.abc import Sequence

from neurograph._arguments import UNSET, Timeout
from neurograph._execution.executor import Executor
from neurograph._protocol import cdna_operations as operations
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


class CDNA:
    """Read and change the scales that weight distances across all levels of a grid, and try changes out."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def status(self, *, timeout: Timeout = UNSET) -> CDNAStatus:
        """Read scales, profile and quarantine.

        Args:
            timeout: seconds for this call; else the client's.

        Raises:
            AuthorizationError: the scope cdna:read is missing.

        >>> status = client.cdna.status()
        >>> status.cdna.version, status.quarantine.active
        ('2.1.0', False)
        """
        return self._executor.run(operations.get_status(), timeout)

    def configure(self, config: CDNAConfig, *, timeout: Timeout = UNSET) -> CDNAState:
        """Set profile and factors.

        Args:
            config: all of it; what it leaves out has the default of the model.
            timeout: seconds for this call; else the client's.

        Raises:
            ValidationError: a factor is not greater than 0, or makes a scale too large.
            NotFoundError: there is no such profile.
            ConflictError: another profile in a quarantine.

        >>> cdna = client.cdna.configure(CDNAConfig(profile="explorer", curiosity_scale=2.0))
        >>> cdna.dimension_scales
        [1.0, 3.0, 1.2, 2.0, 6.0, 2.5, 2.0, 5.0]
        """
        return self._executor.run(operations.configure(config), timeout)

    def update(self, change: CDNAUpdate, *, timeout: Timeout = UNSET) -> CDNAState:
        """Set some factors; the levels of the others stay as they are.

        Args:
            change: the factors to set.
            timeout: seconds for this call; else the client's.

        Raises:
            ValidationError: a factor is not greater than 0, makes a scale too large, or moves it too far for a
                quarantine.

        >>> cdna = client.cdna.configure(CDNAConfig())
        >>> (client.cdna.update(CDNAUpdate(affinity_scale=0.5))).dimension_scales
        [1.0, 1.5, 1.2, 1.0, 3.0, 1.25, 2.0, 5.0]
        """
        return self._executor.run(operations.update(change), timeout)

    def set_scales(self, scales: Sequence[float], *, timeout: Timeout = UNSET) -> CDNAState:
        """Set all eight scales.

        Args:
            scales: L1 to L8.
            timeout: seconds for this call; else the client's.

        Raises:
            ValidationError: not eight, one is out of its bounds, or moves too far for a quarantine.

        >>> cdna = client.cdna.set_scales([1, 1, 1, 1, 16, 1, 1, 1])
        >>> cdna.warnings
        ['L5 is 16, above 50 % of its bound 30: caution']
        """
        return self._executor.run(operations.set_scales(scales), timeout)

    def profiles(self, *, timeout: Timeout = UNSET) -> CDNAProfiles:
        """Read all profiles.

        Args:
            timeout: seconds for this call; else the client's.

        Raises:
            AuthorizationError: the scope cdna:read is missing.

        >>> list((client.cdna.profiles()).profiles)
        ['explorer', 'analyzer', 'creative', 'quarantine']
        """
        return self._executor.run(operations.list_profiles(), timeout)

    def profile(self, profile_id: str, *, timeout: Timeout = UNSET) -> CDNAProfile:
        """Read one profile.

        Args:
            profile_id: which one.
            timeout: seconds for this call; else the client's.

        Raises:
            NotFoundError: there is no such profile.

        >>> (client.cdna.profile("analyzer")).scales[4]
        10.0
        """
        return self._executor.run(operations.get_profile(profile_id), timeout)

    def switch(self, profile_id: str, *, timeout: Timeout = UNSET) -> CDNASwitch:
        """Switch to the scales of a profile.

        Args:
            profile_id: to which one.
            timeout: seconds for this call; else the client's.

        Raises:
            NotFoundError: there is no such profile.
            ConflictError: a quarantine is active.

        >>> (client.cdna.switch("creative")).scales[6]
        21.0
        """
        return self._executor.run(operations.switch(profile_id), timeout)

    def validate(self, scales: Sequence[float], *, timeout: Timeout = UNSET) -> CDNAValidation:
        """Check scales; nothing is stored.

        Args:
            scales: L1 to L8.
            timeout: seconds for this call; else the client's.

        Raises:
            ValidationError: one is no finite number.

        >>> (client.cdna.validate([1, 1, 1, 1, 1, 1, 31, 1])).errors
        ['L7 is 31 and must be at most 30']
        """
        return self._executor.run(operations.validate(scales), timeout)

    def quarantine(self, *, timeout: Timeout = UNSET) -> CDNAQuarantine:
        """Read the quarantine with its measures.

        Args:
            timeout: seconds for this call; else the client's.

        Raises:
            AuthorizationError: the scope cdna:read is missing.

        >>> (client.cdna.quarantine()).active
        False
        """
        return self._executor.run(operations.get_quarantine(), timeout)

    def start_quarantine(self, duration: int = 300, *, timeout: Timeout = UNSET) -> CDNAQuarantine:
        """Start a quarantine: until it ends, scales may move by 0.5 at most, and are restored unless it is applied.

        Args:
            duration: seconds, 30 to 3,600.
            timeout: seconds for this call; else the client's.

        Raises:
            ValidationError: the duration is out of range.
            ConflictError: there is one already.

        >>> (client.cdna.start_quarantine(60)).time_left
        60.0
        >>> client.cdna.stop_quarantine()
        False
        """
        return self._executor.run(operations.start_quarantine(duration), timeout)

    def stop_quarantine(self, apply: bool = False, *, timeout: Timeout = UNSET) -> bool:
        """Stop the quarantine.

        Args:
            apply: keep its changes; else the state from before is restored.
            timeout: seconds for this call; else the client's.

        Returns:
            Whether the changes were kept.

        Raises:
            ConflictError: there is none; it may have ended by itself.

        >>> started = client.cdna.start_quarantine()
        >>> client.cdna.stop_quarantine(apply=True)
        True
        """
        return self._executor.run(operations.stop_quarantine(apply), timeout)

    def history(self, limit: int = 10, *, timeout: Timeout = UNSET) -> CDNAHistory:
        """Read the newest actions, newest first.

        Args:
            limit: how many, 1 to 100.
            timeout: seconds for this call; else the client's.

        Raises:
            ValidationError: the limit is out of range.

        >>> switched = client.cdna.switch("explorer")
        >>> (client.cdna.history(1)).history[0].action
        'profile_switch'
        """
        return self._executor.run(operations.history(limit), timeout)

    def export(self, *, timeout: Timeout = UNSET) -> CDNAExport:
        """Read scales and the newest 100 actions, to keep them elsewhere.

        Args:
            timeout: seconds for this call; else the client's.

        Raises:
            AuthorizationError: the scope cdna:read is missing.

        >>> sorted((client.cdna.export()).data)
        ['cdna', 'exported_at', 'history']
        """
        return self._executor.run(operations.export(), timeout)

    def reset(self, *, timeout: Timeout = UNSET) -> CDNAState:
        """Return to the profile explorer, and forget the history; for administrators.

        Args:
            timeout: seconds for this call; else the client's.

        Raises:
            AuthorizationError: the scope config:admin is missing.
            ConflictError: a quarantine is active.

        >>> client.cdna.reset()
        Traceback (most recent call last):
        neurograph.exceptions.AuthorizationError: ...config:admin...
        """
        return self._executor.run(operations.reset(), timeout)
