"""Handlers of sessions and of the account behind them."""

from vectrograph.http.context import Context
from vectrograph.rest import requests, responses


def login(context: Context, body: requests.Login) -> responses.Session:
    """Answer POST /api/v1/auth/login."""
    pair = context.services.sessions.login(body.username, body.password, context.origin)
    return responses.Session(
        access_token=pair.access_token,
        refresh_token=pair.refresh_token,
        expires_in=pair.expires_in,
        user=responses.User.of(pair.user),
    )


def refresh(context: Context, body: requests.Refresh) -> responses.TokenPair:
    """Answer POST /api/v1/auth/refresh."""
    pair = context.services.sessions.refresh(body.refresh_token, context.origin)
    return responses.TokenPair(
        access_token=pair.access_token, refresh_token=pair.refresh_token, expires_in=pair.expires_in
    )


def logout(context: Context, _: requests.Logout) -> responses.Success:
    """Answer POST /api/v1/auth/logout."""
    context.services.sessions.logout(context.call)
    return responses.Success(message="Logged out.")


def me(context: Context, _: None) -> responses.User:
    """Answer GET /api/v1/auth/me."""
    return responses.User.of(context.services.sessions.me(context.call))


def change_password(context: Context, body: requests.PasswordChange) -> responses.Success:
    """Answer POST /api/v1/auth/change-password."""
    context.services.sessions.change_password(context.call, body.old_password, body.new_password)
    return responses.Success(message="Password changed.")
