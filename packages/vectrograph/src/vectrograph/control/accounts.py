"""Accounts in the control database."""

import builtins
from dataclasses import dataclass, field

from sqlalchemy import delete, exc, func, select
from sqlalchemy.orm import Session

from vectrograph.control.clock import Clock
from vectrograph.control.database.connection import Database, concerns
from vectrograph.control.database.models import ApiKey, LoginSession, User
from vectrograph.control.database.reserved_space import RESERVE_PAGES
from vectrograph.control.development import end_development, end_for_administrator, has_ended, is_development
from vectrograph.control.records import StoredPassword, UserRecord
from vectrograph.domain.access import ROLE_SCOPES, Role
from vectrograph.domain.collections import DEFAULT_TENANT
from vectrograph.domain.errors import (
    AlreadyExists,
    Conflict,
    InvalidCredentials,
    PermissionDenied,
    QuotaExceeded,
    UserNotFound,
)
from vectrograph.domain.quotas import Quotas


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUser:
    """An account to be made.

    Attributes:
        encoded_password: an argon2 hash.
        password_is_default: marks a published password.
        registered_in_development: marks an account that its owner made without anybody's leave, which development mode
            alone allows. Every other account without a published password ends the mode.
    """

    user_id: str
    username: str
    role: Role
    encoded_password: str = field(repr=False)
    email: str | None = None
    full_name: str | None = None
    password_is_default: bool = False
    registered_in_development: bool = False
    tenant: str = DEFAULT_TENANT


class Accounts:
    """Accounts: make, read, change. Every change that may take rights away ends cached credentials at once."""

    def __init__(self, database: Database, clock: Clock, quotas: Quotas) -> None:
        self._database = database
        self._quotas = quotas
        self._clock = clock

    def create(self, new: NewUser) -> UserRecord:
        """Store an account. One that an administrator makes ends development mode in the same transaction.

        Raises:
            AlreadyExists: id, username or email is taken.
            QuotaExceeded: there are as many accounts as there may be.
            PermissionDenied: it registers itself, and development mode has ended meanwhile.
        """
        at = self._clock()
        user = User(
            user_id=new.user_id,
            username=new.username,
            email=new.email.lower() if new.email is not None else None,
            full_name=new.full_name,
            role=new.role.value,
            plan="FREE",
            disabled=False,
            password_hash=new.encoded_password,
            password_is_default=new.password_is_default,
            created_at=at,
            updated_at=at,
            tenant=new.tenant,
        )
        is_real = not new.registered_in_development and not new.password_is_default
        with self._database.read() as session:
            # Callers without credentials may do something until then.
            ends_development = is_real and not has_ended(session)
        with self._database.write(invalidates=ends_development, leaving=RESERVE_PAGES) as session:
            concerns(session, user.user_id)
            limit = self._quotas.max_accounts
            if (session.scalar(select(func.count()).select_from(User)) or 0) >= limit:
                raise QuotaExceeded(
                    f"There are {limit} accounts, and max_accounts is {limit}; remove some, or raise it.",
                    details={"limit": limit, "unit": "accounts"},
                )
            session.add(user)
            try:
                session.flush()
            except exc.IntegrityError as error:
                raise AlreadyExists(
                    f"An account with the username or email of {new.username!r} exists already; choose others."
                ) from error
            if new.registered_in_development:
                if not is_development(session):
                    raise PermissionDenied("Registration is closed; ask an administrator to register you.")
            elif is_real:
                end_development(session, f"an administrator made the account {new.username}", at)
            return user_record(user)

    def get(self, user_id: str, tenant: str | None = None) -> UserRecord:
        """Return one account of a tenant, or of any (None).

        Raises:
            UserNotFound: there is none of that id.
        """
        with self._database.read() as session:
            return user_record(_load(session, user_id, tenant))

    def find(self, username: str) -> UserRecord | None:
        """Return an account by username; None when there is none."""
        stored = self.password(username)
        return None if stored is None else stored.user

    def list(self, tenant: str | None = None) -> builtins.list[UserRecord]:
        """Return the accounts of a tenant, or of all (None), by username."""
        query = select(User).order_by(User.username)
        if tenant is not None:
            query = query.where(User.tenant == tenant)
        with self._database.read() as session:
            return [user_record(user) for user in session.scalars(query)]

    def password(self, username: str) -> StoredPassword | None:
        """Return an account with its password hash, by username; None when there is none."""
        with self._database.read() as session:
            user = session.scalars(select(User).where(User.username == username)).one_or_none()
            return None if user is None else _stored_password(user)

    def password_by_email(self, email: str) -> StoredPassword | None:
        """Return the account of a lower-case email with its password hash; None when there is none."""
        with self._database.read() as session:
            user = session.scalars(select(User).where(User.email == email)).one_or_none()
            return None if user is None else _stored_password(user)

    def password_of(self, user_id: str) -> StoredPassword:
        """Return an account with its password hash, by id.

        Raises:
            UserNotFound: there is none of that id.
        """
        with self._database.read() as session:
            return _stored_password(_load(session, user_id))

    def any(self) -> bool:
        """Return whether there is any account at all."""
        with self._database.read() as session:
            return session.scalars(select(User.user_id).limit(1)).first() is not None

    def usernames_with_default_password(self) -> builtins.list[str]:
        """Return accounts whose published password is in force, sorted by username."""
        with self._database.read() as session:
            names = select(User.username).where(User.password_is_default).order_by(User.username)
            return [*session.scalars(names)]

    def rehash_password(self, user_id: str, old_encoded: str, new_encoded: str) -> None:
        """Store the same password under newer hash parameters, unless it was changed meanwhile."""
        with self._database.write(routine=True) as session:
            user = session.get(User, user_id, with_for_update=True)
            if user is not None and user.password_hash == old_encoded:
                user.password_hash = new_encoded

    def change_password(self, user_id: str, old_encoded: str, new_encoded: str) -> None:
        """Replace the password and end every session of the account, in one transaction.

        Raises:
            UserNotFound: there is none of that id.
            InvalidCredentials: the password is no longer the one that was checked.
        """
        with self._database.write(invalidates=True) as session:
            concerns(session, user_id)
            user = _load(session, user_id, locked=True)
            if user.password_hash != old_encoded:
                raise InvalidCredentials("The password was changed in the meantime; log in again.")
            user.password_hash = new_encoded
            user.password_is_default = False
            user.updated_at = self._clock()
            end_for_administrator(session, user, user.updated_at)
            session.execute(delete(LoginSession).where(LoginSession.user_id == user_id))

    def set_plan(self, user_id: str, plan: str) -> UserRecord:
        """Store the plan.

        Raises:
            UserNotFound: there is none of that id.
        """
        with self._database.write() as session:
            user = _load(session, user_id, locked=True)
            user.plan = plan
            user.updated_at = self._clock()
            return user_record(user)

    def set_disabled(self, user_id: str, disabled: bool, tenant: str | None = None) -> UserRecord:
        """Disable an account, so that its sessions and keys cease to work at once, or enable it again.

        Raises:
            UserNotFound: there is none of that id in the tenant.
            Conflict: it is the last administrator.
        """
        with self._database.write(invalidates=True) as session:
            concerns(session, user_id)
            user = _load(session, user_id, tenant, locked=True)
            if disabled:
                keep_an_administrator(session, user)
            user.disabled = disabled
            user.updated_at = self._clock()
            return user_record(user)

    def set_role(self, user_id: str, role: Role, tenant: str | None = None) -> UserRecord:
        """Give an account another role; its sessions and keys have the new scopes at once.

        Raises:
            UserNotFound: there is none of that id in the tenant.
            Conflict: it is the last administrator.
        """
        with self._database.write(invalidates=True) as session:
            concerns(session, user_id)
            user = _load(session, user_id, tenant, locked=True)
            if role is not Role.ADMIN:
                keep_an_administrator(session, user)
            user.role = role.value
            user.updated_at = self._clock()
            end_for_administrator(session, user, user.updated_at)
            return user_record(user)

    def set_password(self, user_id: str, encoded: str, tenant: str | None = None) -> UserRecord:
        """Replace the password without the old one, and end every session of the account, in one transaction.

        Raises:
            UserNotFound: there is none of that id in the tenant.
        """
        with self._database.write(invalidates=True) as session:
            concerns(session, user_id)
            user = _load(session, user_id, tenant, locked=True)
            user.password_hash = encoded
            user.password_is_default = False
            user.updated_at = self._clock()
            end_for_administrator(session, user, user.updated_at)
            session.execute(delete(LoginSession).where(LoginSession.user_id == user_id))
            return user_record(user)

    def delete(self, user_id: str, tenant: str | None = None) -> UserRecord:
        """Remove an account with its sessions and keys; what it stored stays with its tenant.

        Raises:
            UserNotFound: there is none of that id in the tenant.
            Conflict: it is the last administrator.
        """
        with self._database.write(invalidates=True) as session:
            concerns(session, user_id)
            user = _load(session, user_id, tenant, locked=True)
            record = user_record(user)
            _remove(session, user)
            return record

    def remove(self, checked: StoredPassword) -> None:
        """Remove an account whose password was just checked, with its sessions and keys; all cease to work at once.

        Raises:
            InvalidCredentials: the account is gone, or its password was changed since it was checked.
            Conflict: it is the last administrator.
        """
        with self._database.write(invalidates=True) as session:
            concerns(session, checked.user.user_id)
            user = session.get(User, checked.user.user_id, with_for_update=True)
            if user is None or user.password_hash != checked.encoded:
                raise InvalidCredentials("The password was changed in the meantime; log in again.")
            _remove(session, user)


def user_record(user: User) -> UserRecord:
    """Return the record of a row."""
    role = Role(user.role)
    return UserRecord(
        user_id=user.user_id,
        username=user.username,
        email=user.email,
        full_name=user.full_name,
        role=role,
        scopes=ROLE_SCOPES[role],
        disabled=user.disabled,
        plan=user.plan,
        created_at=user.created_at,
        tenant=user.tenant,
        password_is_published=user.password_is_default,
    )


def _stored_password(user: User) -> StoredPassword:
    return StoredPassword(user=user_record(user), encoded=user.password_hash)


def keep_an_administrator(session: Session, user: User) -> None:
    """Refuse to lose the last account that could make another administrator."""
    if user.role != Role.ADMIN.value or user.disabled or user.tenant != DEFAULT_TENANT:
        return
    # The rows are locked, so that two administrators cannot remove each other at the same moment.
    query = select(User.user_id).where(
        User.role == Role.ADMIN.value, User.disabled.is_(False), User.tenant == DEFAULT_TENANT
    )
    others = [found for found in session.scalars(query.with_for_update()) if found != user.user_id]
    if not others:
        raise Conflict(f"{user.username} is the last administrator; create another one first.")


def _remove(session: Session, user: User) -> None:
    keep_an_administrator(session, user)
    session.execute(delete(LoginSession).where(LoginSession.user_id == user.user_id))
    session.execute(delete(ApiKey).where(ApiKey.owner_id == user.user_id))
    session.delete(user)


def _load(session: Session, user_id: str, tenant: str | None = None, *, locked: bool = False) -> User:
    user = session.get(User, user_id, with_for_update=True if locked else None)
    if user is None or (tenant is not None and user.tenant != tenant):
        raise UserNotFound(f"Account {user_id!r} does not exist.", details={"user_id": user_id})
    return user
