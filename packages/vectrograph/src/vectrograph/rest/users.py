"""Handlers of accounts, for administrators."""

from vectrograph.rest import answers, bodies
from vectrograph.rest.context import Context


def create(context: Context, body: bodies.UserCreate) -> answers.User:
    """POST /api/v1/users."""
    record = context.services.users.create(
        context.call,
        username=body.username,
        password=body.password,
        role=body.role,
        email=body.email,
        full_name=body.full_name,
        tenant=body.tenant,
    )
    return answers.User.of(record)


def list_all(context: Context, _: None) -> answers.UserList:
    """GET /api/v1/users."""
    records = context.services.users.list(context.call)
    return answers.UserList(users=[answers.User.of(record) for record in records], total=len(records))


def get(context: Context, _: None) -> answers.User:
    """GET /api/v1/users/{user_id}."""
    return answers.User.of(context.services.users.get(context.call, context.path["user_id"]))


def set_role(context: Context, body: bodies.UserRole) -> answers.User:
    """POST /api/v1/users/{user_id}/role."""
    return answers.User.of(context.services.users.set_role(context.call, context.path["user_id"], body.role))


def set_password(context: Context, body: bodies.UserPassword) -> answers.User:
    """POST /api/v1/users/{user_id}/password."""
    return answers.User.of(context.services.users.set_password(context.call, context.path["user_id"], body.password))


def disable(context: Context, _: None) -> answers.User:
    """POST /api/v1/users/{user_id}/disable."""
    return answers.User.of(context.services.users.set_disabled(context.call, context.path["user_id"], True))


def enable(context: Context, _: None) -> answers.User:
    """POST /api/v1/users/{user_id}/enable."""
    return answers.User.of(context.services.users.set_disabled(context.call, context.path["user_id"], False))


def delete(context: Context, _: None) -> None:
    """DELETE /api/v1/users/{user_id}."""
    context.services.users.delete(context.call, context.path["user_id"])


def entries(context: Context, query: bodies.AuditPage) -> answers.AuditEntries:
    """GET /api/v1/audit."""
    records = context.services.audit.list(context.call, before=query.before, limit=query.limit)
    return answers.AuditEntries(entries=[answers.AuditEntry.of(record) for record in records])
