"""The routes of CDNA, and their handlers."""

from typing import Final

from vectrograph.domain import errors
from vectrograph.domain.access import Scope
from vectrograph.domain.cdna import FACTORS, Wish, validate
from vectrograph.http.context import Context
from vectrograph.http.operation import Operation, Workload
from vectrograph.rest import requests, responses

_PATH: Final = "/api/v1/cdna"


def status(context: Context, _: None) -> responses.CdnaStatus:
    """Answer GET /api/v1/cdna/status."""
    report = context.services.cdna.status(context.call)
    return responses.CdnaStatus(
        cdna=responses.CdnaObject.of(report.state),
        quarantine=responses.CdnaQuarantine.of(report.quarantine),
        history_count=report.history_count,
    )


def configure(context: Context, body: requests.CdnaConfig) -> responses.CdnaConfigured:
    """Answer PUT /api/v1/cdna/config."""
    factors = {name: value for name in FACTORS if (value := getattr(body, name)) is not None}
    wish = Wish(profile=body.profile, scales=body.dimension_scales, factors=factors)
    state = context.services.cdna.configure(context.call, wish)
    warnings = list(validate(state.scales).warnings) if body.should_validate else []
    return responses.CdnaConfigured.with_warnings(state, warnings)


def profiles(context: Context, _: None) -> responses.CdnaProfiles:
    """Answer GET /api/v1/cdna/profiles."""
    found, current = context.services.cdna.profiles(context.call)
    return responses.CdnaProfiles(
        profiles={profile.profile_id: responses.CdnaProfile.of(profile) for profile in found}, current=current
    )


def profile(context: Context, _: None) -> responses.CdnaProfile:
    """Answer GET /api/v1/cdna/profiles/{profile_id}."""
    return responses.CdnaProfile.of(context.services.cdna.profile(context.call, context.path["profile_id"]))


def switch(context: Context, _: None) -> responses.CdnaSwitched:
    """Answer POST /api/v1/cdna/profiles/{profile_id}/switch."""
    state, before = context.services.cdna.switch(context.call, context.path["profile_id"])
    return responses.CdnaSwitched(old_profile=before, new_profile=state.profile, scales=list(state.scales))


def check(context: Context, body: requests.CdnaScales) -> responses.CdnaVerdict:
    """Answer POST /api/v1/cdna/validate."""
    verdict = context.services.cdna.validate(context.call, body.scales)
    return responses.CdnaVerdict(valid=verdict.valid, warnings=list(verdict.warnings), errors=list(verdict.errors))


def quarantine(context: Context, _: None) -> responses.CdnaQuarantine:
    """Answer GET /api/v1/cdna/quarantine/status."""
    return responses.CdnaQuarantine.of(context.services.cdna.quarantine(context.call))


def start_quarantine(context: Context, query: requests.CdnaQuarantineStart) -> responses.CdnaQuarantineStarted:
    """Answer POST /api/v1/cdna/quarantine/start."""
    report = context.services.cdna.start(context.call, query.duration)
    return responses.CdnaQuarantineStarted(
        message=f"The quarantine ends in {query.duration} seconds.",
        duration=query.duration,
        ends_at=responses.moment_or_none(report.ends_at),
    )


def stop_quarantine(context: Context, query: requests.CdnaQuarantineStop) -> responses.CdnaQuarantineStopped:
    """Answer POST /api/v1/cdna/quarantine/stop."""
    context.services.cdna.stop(context.call, apply=query.apply)
    message = "The changes were applied." if query.apply else "The previous state was restored."
    return responses.CdnaQuarantineStopped(message=message, applied=query.apply)


def history(context: Context, query: requests.CdnaHistoryPage) -> responses.CdnaHistory:
    """Answer GET /api/v1/cdna/history."""
    entries, total = context.services.cdna.history(context.call, query.limit)
    return responses.CdnaHistory(history=[responses.CdnaHistoryEntry.of(entry) for entry in entries], total=total)


def export(context: Context, _: None) -> responses.CdnaExport:
    """Answer POST /api/v1/cdna/export."""
    made = context.services.cdna.export(context.call)
    return responses.CdnaExport(
        data=responses.CdnaExportData(
            cdna=responses.CdnaObject.of(made.state),
            history=[responses.CdnaHistoryEntry.of(entry) for entry in made.history],
            exported_at=responses.moment(made.exported_at),
        ),
        filename=made.filename,
    )


def reset(context: Context, _: None) -> responses.CdnaReset:
    """Answer POST /api/v1/cdna/reset."""
    state = context.services.cdna.reset(context.call)
    return responses.CdnaReset(message="The CDNA was reset.", cdna=responses.CdnaObject.of(state))


CDNA: Final = (
    Operation(
        method="GET",
        path=f"{_PATH}/status",
        handler=status,
        summary="Get scales, profile and quarantine",
        tag="cdna",
        access=Scope.CDNA_READ,
        answer=responses.CdnaStatus,
    ),
    Operation(
        method="PUT",
        path=f"{_PATH}/config",
        handler=configure,
        summary="Change profile, scales or factors",
        description="In a quarantine each scale may move by at most 0.5 from its value at the start.",
        tag="cdna",
        access=Scope.CDNA_WRITE,
        body=requests.CdnaConfig,
        answer=responses.CdnaConfigured,
        raises=(errors.NotFound, errors.Conflict, errors.OutOfSpace),
    ),
    Operation(
        method="GET",
        path=f"{_PATH}/profiles",
        handler=profiles,
        summary="List profiles",
        tag="cdna",
        access=Scope.CDNA_READ,
        answer=responses.CdnaProfiles,
    ),
    Operation(
        method="GET",
        path=f"{_PATH}/profiles/{{profile_id}}",
        handler=profile,
        summary="Get a profile",
        tag="cdna",
        access=Scope.CDNA_READ,
        answer=responses.CdnaProfile,
        raises=(errors.NotFound,),
    ),
    Operation(
        method="POST",
        path=f"{_PATH}/profiles/{{profile_id}}/switch",
        handler=switch,
        summary="Switch to a profile",
        description="Refused in a quarantine.",
        tag="cdna",
        access=Scope.CDNA_WRITE,
        answer=responses.CdnaSwitched,
        raises=(errors.NotFound, errors.Conflict, errors.OutOfSpace),
    ),
    Operation(
        method="POST",
        path=f"{_PATH}/validate",
        handler=check,
        summary="Check scales",
        description="Nothing is stored.",
        tag="cdna",
        access=Scope.CDNA_READ,
        body=requests.CdnaScales,
        answer=responses.CdnaVerdict,
    ),
    Operation(
        method="GET",
        path=f"{_PATH}/quarantine/status",
        handler=quarantine,
        summary="Get the quarantine",
        tag="cdna",
        access=Scope.CDNA_READ,
        answer=responses.CdnaQuarantine,
    ),
    Operation(
        method="POST",
        path=f"{_PATH}/quarantine/start",
        handler=start_quarantine,
        summary="Start a quarantine",
        description="It ends automatically when its time has passed, or when a measure exceeds its limit. Then the "
        "previous state is restored.",
        tag="cdna",
        access=Scope.CDNA_WRITE,
        query=requests.CdnaQuarantineStart,
        answer=responses.CdnaQuarantineStarted,
        raises=(errors.Conflict, errors.OutOfSpace),
    ),
    Operation(
        method="POST",
        path=f"{_PATH}/quarantine/stop",
        handler=stop_quarantine,
        summary="Stop the quarantine",
        description="Without `apply` the previous state is restored.",
        tag="cdna",
        access=Scope.CDNA_WRITE,
        query=requests.CdnaQuarantineStop,
        answer=responses.CdnaQuarantineStopped,
        raises=(errors.Conflict, errors.OutOfSpace),
    ),
    Operation(
        method="GET",
        path=f"{_PATH}/history",
        handler=history,
        summary="List changes",
        description="Newest first. At most 1,000 are kept.",
        tag="cdna",
        access=Scope.CDNA_READ,
        query=requests.CdnaHistoryPage,
        answer=responses.CdnaHistory,
    ),
    Operation(
        method="POST",
        path=f"{_PATH}/export",
        handler=export,
        summary="Export scales and the newest changes",
        tag="cdna",
        access=Scope.CDNA_READ,
        answer=responses.CdnaExport,
    ),
    Operation(
        method="POST",
        path=f"{_PATH}/reset",
        handler=reset,
        summary="Reset scales and profile",
        description="Clears the history. Refused in a quarantine.",
        tag="cdna",
        access=Scope.CONFIG_ADMIN,
        answer=responses.CdnaReset,
        raises=(errors.Conflict, errors.OutOfSpace),
        workload=Workload.WRITING,
    ),
)
