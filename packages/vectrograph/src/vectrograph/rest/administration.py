"""The routes of administrators: accounts and the audit record."""

from typing import Final

from vectrograph.domain import errors
from vectrograph.domain.access import Scope
from vectrograph.http.operation import Operation, Workload
from vectrograph.rest import requests, responses, users

_USERS: Final = "/api/v1/users"
_ONE: Final = f"{_USERS}/{{user_id}}"

ADMINISTRATION: Final = (
    Operation(
        method="POST",
        path=_USERS,
        handler=users.create,
        summary="Create an account",
        description="It can log in at once.",
        tag="users",
        access=Scope.USERS_ADMIN,
        body=requests.UserCreate,
        answer=responses.User,
        status=201,
        raises=(errors.AlreadyExists,),
        workload=Workload.HASHING,
    ),
    Operation(
        method="GET",
        path=_USERS,
        handler=users.list_all,
        summary="List accounts",
        tag="users",
        access=Scope.USERS_ADMIN,
        answer=responses.UserList,
    ),
    Operation(
        method="GET",
        path=_ONE,
        handler=users.get,
        summary="Get an account",
        tag="users",
        access=Scope.USERS_ADMIN,
        answer=responses.User,
        raises=(errors.UserNotFound,),
    ),
    Operation(
        method="DELETE",
        path=_ONE,
        handler=users.delete,
        summary="Delete an account",
        description="Its sessions and keys end at once; its data stays with the tenant.",
        tag="users",
        access=Scope.USERS_ADMIN,
        status=204,
        raises=(errors.UserNotFound, errors.Conflict),
    ),
    Operation(
        method="POST",
        path=f"{_ONE}/role",
        handler=users.set_role,
        summary="Change the role of an account",
        description="Takes effect at once, also for its sessions and keys.",
        tag="users",
        access=Scope.USERS_ADMIN,
        body=requests.UserRole,
        answer=responses.User,
        raises=(errors.UserNotFound, errors.Conflict),
    ),
    Operation(
        method="POST",
        path=f"{_ONE}/password",
        handler=users.set_password,
        summary="Set the password of an account",
        description="All its sessions end at once; its API keys stay valid.",
        tag="users",
        access=Scope.USERS_ADMIN,
        body=requests.UserPassword,
        answer=responses.User,
        raises=(errors.UserNotFound,),
        workload=Workload.HASHING,
    ),
    Operation(
        method="POST",
        path=f"{_ONE}/disable",
        handler=users.disable,
        summary="Disable an account",
        description="Its sessions and keys stop working at once.",
        tag="users",
        access=Scope.USERS_ADMIN,
        answer=responses.User,
        raises=(errors.UserNotFound, errors.Conflict),
    ),
    Operation(
        method="POST",
        path=f"{_ONE}/enable",
        handler=users.enable,
        summary="Enable a disabled account",
        tag="users",
        access=Scope.USERS_ADMIN,
        answer=responses.User,
        raises=(errors.UserNotFound,),
    ),
    Operation(
        method="GET",
        path="/api/v1/audit",
        handler=users.entries,
        summary="Read the audit log",
        description="Newest first. For the next page, pass the number of the last entry as `before`.",
        tag="audit",
        access=Scope.LOGS_ADMIN,
        query=requests.AuditPage,
        answer=responses.AuditEntries,
    ),
)
