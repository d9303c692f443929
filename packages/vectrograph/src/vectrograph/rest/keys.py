"""Handlers of API keys."""

from vectrograph.http.context import Context
from vectrograph.rest import requests, responses


def create(context: Context, body: requests.ApiKeyCreate) -> responses.ApiKeyCreated:
    """Answer POST /api/v1/api-keys."""
    created = context.services.keys.create(
        context.call,
        body.name,
        body.scopes,
        body.expires_in_days,
        collections=body.collections,
        rate_limit=body.rate_limit,
    )
    return responses.ApiKeyCreated.with_secret(created.record, created.secret)


def list_all(context: Context, _: None) -> responses.ApiKeyList:
    """Answer GET /api/v1/api-keys."""
    records = context.services.keys.list(context.call)
    return responses.ApiKeyList(api_keys=[responses.ApiKey.of(record) for record in records], total=len(records))


def get(context: Context, _: None) -> responses.ApiKey:
    """Answer GET /api/v1/api-keys/{key_id}."""
    return responses.ApiKey.of(context.services.keys.get(context.call, context.path["key_id"]))


def revoke(context: Context, _: None) -> responses.ApiKeyRevoked:
    """Answer POST /api/v1/api-keys/{key_id}/revoke."""
    context.services.keys.revoke(context.call, context.path["key_id"])
    return responses.ApiKeyRevoked(key_id=context.path["key_id"])


def delete(context: Context, _: None) -> None:
    """Answer DELETE /api/v1/api-keys/{key_id}."""
    context.services.keys.delete(context.call, context.path["key_id"])


def rotate(context: Context, body: requests.ApiKeyRotate) -> responses.ApiKeyCreated:
    """Answer POST /api/v1/api-keys/{key_id}/rotate."""
    created = context.services.keys.rotate(
        context.call, context.path["key_id"], body.overlap_hours, overlap_seconds=body.overlap_seconds
    )
    return responses.ApiKeyCreated.with_secret(created.record, created.secret)
