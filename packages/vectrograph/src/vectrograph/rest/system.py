"""Handlers of what the server says about itself."""

import platform
from dataclasses import asdict
from datetime import UTC, datetime

from vectrograph.domain.errors import Unavailable
from vectrograph.http.context import Context, Page
from vectrograph.http.vector_frames import VECTORS
from vectrograph.rest import responses


def index(context: Context, _: None) -> responses.Index:
    """Answer GET /."""
    return responses.Index(
        name="vectrograph",
        version=context.application.version,
        docs="/docs",
        openapi="/openapi.json",
        health="/api/v1/health",
    )


def openapi(context: Context, _: None) -> Page:
    """Answer GET /openapi.json."""
    return Page(context.application.document(), "application/json")


def live(_: Context, __: None) -> responses.Liveness:
    """Answer GET /livez."""
    return responses.Liveness()


def ready(context: Context, _: None) -> responses.Readiness:
    """Answer GET /readyz.

    Raises:
        Unavailable: storage does not answer.
    """
    report = context.services.health.check()
    if not report.ready:
        raise Unavailable("The storage does not respond; this server cannot serve requests now.", retry_after=1)
    return responses.Readiness(quarantined=report.quarantined)


def health(context: Context, _: None) -> responses.Health:
    """Answer GET /api/v1/health."""
    report = context.services.health.check()
    return responses.Health(
        status=report.status.value,
        version=report.version,
        uptime_seconds=report.uptime_seconds,
        timestamp=datetime.now(UTC),
        quarantined=report.quarantined,
    )


def status(context: Context, _: None) -> responses.Status:
    """Answer GET /api/v1/status."""
    report = context.services.health.status(context.call)
    return responses.Status(
        status=report.status.value,
        api_version=report.version,
        runtime_version=platform.python_version(),
        tokens_count=report.tokens_count,
        collections_count=report.collections_count,
        uptime_seconds=report.uptime_seconds,
        memory_usage_mb=report.memory_usage_mb,
        requests_total=report.requests_total,
        engine=report.engine,
        engine_versions=report.engine_versions,
        quarantined=report.quarantined,
        unchecked=report.unchecked,
    )


def limits(context: Context, _: None) -> responses.LimitsAdvertised:
    """Answer GET /api/v1/limits."""
    embeddings = context.services.embeddings
    return responses.LimitsAdvertised(
        **asdict(context.services.limits),
        embedding_model=embeddings.model,
        embedding_dimension=embeddings.dimension,
        vector_media_type=VECTORS,
    )
