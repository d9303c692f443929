"""Handlers of sessions and of the account behind them."""

from vectrograph.rest import answers, bodies
from vectrograph.rest.context import Context


def login(context: Context, body: bodies.Login) -> answers.Session:
    """POST /api/v1/auth/login."""
    pair = context.services.sessions.login(body.username, body.password, context.origin)
    return answers.Session(
        access_token=pair.access_token,
        refresh_token=pair.refresh_token,
        expires_in=pair.expires_in,
        user=answers.User.of(pair.user),
    )


def refresh(context: Context, body: bodies.Refresh) -> answers.TokenPair:
    """POST /api/v1/auth/refresh."""
    pair = context.services.sessions.refresh(body.refresh_token, context.origin)
    return answers.TokenPair(
        access_token=pair.access_token, refresh_token=pair.refresh_token, expires_in=pair.expires_in
    )


def logout(context: Context, _: bodies.Logout) -> answers.Success:
    """POST /api/v1/auth/logout."""
    context.services.sessions.logout(context.call)
    return answers.Success(message="Logged out.")


def me(context: Context, _: None) -> answers.User:
    """GET /api/v1/auth/me."""
    return answers.User.of(context.services.sessions.me(context.call))


def change_password(context: Context, body: bodies.PasswordChange) -> answers.Success:
    """POST /api/v1/auth/change-password."""
    context.services.sessions.change_password(context.call, body.old_password, body.new_password)
    return answers.Success(message="Password changed.")
