"""Handlers of accounts, for administrators."""

from vectrograph.http.context import Context
from vectrograph.rest import requests, responses


def create(context: Context, body: requests.UserCreate) -> responses.User:
    """Answer POST /api/v1/users."""
    record = context.services.users.create(
        context.call,
        username=body.username,
        password=body.password,
        role=body.role,
        email=body.email,
        full_name=body.full_name,
        tenant=body.tenant,
    )
    return responses.User.of(record)


def list_all(context: Context, _: None) -> responses.UserList:
    """Answer GET /api/v1/users."""
    records = context.services.users.list(context.call)
    return responses.UserList(users=[responses.User.of(record) for record in records], total=len(records))


def get(context: Context, _: None) -> responses.User:
    """Answer GET /api/v1/users/{user_id}."""
    return responses.User.of(context.services.users.get(context.call, context.path["user_id"]))


def set_role(context: Context, body: requests.UserRole) -> responses.User:
    """Answer POST /api/v1/users/{user_id}/role."""
    return responses.User.of(context.services.users.set_role(context.call, context.path["user_id"], body.role))


def set_password(context: Context, body: requests.UserPassword) -> responses.User:
    """Answer POST /api/v1/users/{user_id}/password."""
    return responses.User.of(context.services.users.set_password(context.call, context.path["user_id"], body.password))


def disable(context: Context, _: None) -> responses.User:
    """Answer POST /api/v1/users/{user_id}/disable."""
    return responses.User.of(context.services.users.set_disabled(context.call, context.path["user_id"], True))


def enable(context: Context, _: None) -> responses.User:
    """Answer POST /api/v1/users/{user_id}/enable."""
    return responses.User.of(context.services.users.set_disabled(context.call, context.path["user_id"], False))


def delete(context: Context, _: None) -> None:
    """Answer DELETE /api/v1/users/{user_id}."""
    context.services.users.delete(context.call, context.path["user_id"])


def entries(context: Context, query: requests.AuditPage) -> responses.AuditEntries:
    """Answer GET /api/v1/audit."""
    records = context.services.audit.list(context.call, before=query.before, limit=query.limit)
    return responses.AuditEntries(entries=[responses.AuditEntry.of(record) for record in records])
