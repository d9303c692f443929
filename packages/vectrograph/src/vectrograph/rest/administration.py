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
        description="Its sessions and keys end at once; what it stored stays with its tenant.",
        tag="users",
        access=Scope.USERS_ADMIN,
        status=204,
        raises=(errors.UserNotFound, errors.Conflict),
    ),
    Operation(
        method="POST",
        path=f"{_ONE}/role",
        handler=users.set_role,
        summary="Give an account another role",
        description="Effective at once, for its sessions and keys too.",
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
        summary="Give an account a new password",
        description="All its sessions end at once; its API keys go on.",
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
        description="Its sessions and keys cease to work at once.",
        tag="users",
        access=Scope.USERS_ADMIN,
        answer=responses.User,
        raises=(errors.UserNotFound, errors.Conflict),
    ),
    Operation(
        method="POST",
        path=f"{_ONE}/enable",
        handler=users.enable,
        summary="Enable an account again",
        tag="users",
        access=Scope.USERS_ADMIN,
        answer=responses.User,
        raises=(errors.UserNotFound,),
    ),
    Operation(
        method="GET",
        path="/api/v1/audit",
        handler=users.entries,
        summary="Read the audit record",
        description="Newest first; the number of the last entry, as `before`, continues the list.",
        tag="audit",
        access=Scope.LOGS_ADMIN,
        query=requests.AuditPage,
        answer=responses.AuditEntries,
    ),
)
