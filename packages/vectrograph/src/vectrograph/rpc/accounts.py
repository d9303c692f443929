"""The twelve methods of vectron.auth.v1.AuthService: message bytes in, services asked, message bytes out.

On this wire an API key is named by its prefix, the first 16 characters of the key.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from vectrograph.domain.access import Scope
from vectrograph.rpc._pb import auth_pb
from vectrograph.rpc.messages import parse
from vectrograph.rpc.profiles import key_of, plan_name, plan_of, profile_of, seconds
from vectrograph.rpc.vectron import Unary
from vectrograph.services import Services
from vectrograph.services.accounts.rules import validate_key_name
from vectrograph.services.call import Call, Origin, Principal

Public: TypeAlias = Callable[[Principal | None, Origin, bytes], bytes]


class AuthService:
    """Answers each method; raises domain errors only."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def unary_methods(self) -> Mapping[str, Unary]:
        """The methods for authenticated callers, by name."""
        return {
            "GetUserProfile": self.get_user_profile,
            "UpdateUserProfile": self.update_user_profile,
            "DeleteUser": self.delete_user,
            "RefreshToken": self.refresh_token,
            "CreateAPIKey": self.create_api_key,
            "ListAPIKeys": self.list_api_keys,
            "DeleteAPIKey": self.delete_api_key,
            "CreateSDKJWT": self.create_sdk_jwt,
            "GetAuthDetailsForSDK": self.get_auth_details_for_sdk,
        }

    def public_methods(self) -> Mapping[str, Public]:
        """The methods that strangers may call, by name."""
        return {
            "RegisterUser": self.register_user,
            "Login": self.login,
            "ValidateAPIKey": self.validate_api_key,
        }

    def register_user(self, caller: Principal | None, origin: Origin, body: bytes) -> bytes:
        """Make an account, a viewer."""
        request = parse(auth_pb.RegisterUserRequest, body)
        user = self._services.registration.register(caller, request.email, request.password, origin)
        return auth_pb.RegisterUserResponse(user=profile_of(user)).SerializeToString()

    def login(self, _: Principal | None, origin: Origin, body: bytes) -> bytes:
        """A JWT for 24 hours."""
        request = parse(auth_pb.LoginRequest, body)
        login = self._services.logins.login(request.email, request.password, origin)
        return auth_pb.LoginResponse(jwt_token=login.token, user=profile_of(login.user)).SerializeToString()

    def validate_api_key(self, _: Principal | None, __: Origin, body: bytes) -> bytes:
        """Whether a whole key holds, and whose it is."""
        request = parse(auth_pb.ValidateAPIKeyRequest, body)
        holder = self._services.logins.validate(request.full_key)
        if holder is None:
            return auth_pb.ValidateAPIKeyResponse(valid=False).SerializeToString()
        return auth_pb.ValidateAPIKeyResponse(
            valid=True,
            user_id=holder.owner.user_id,
            plan=plan_of(holder.owner).name,
            api_key_id=holder.key.key_prefix,
        ).SerializeToString()

    def get_user_profile(self, call: Call, body: bytes) -> bytes:
        """The caller's account."""
        parse(auth_pb.GetUserProfileRequest, body)
        user = self._services.sessions.me(call)
        return auth_pb.GetUserProfileResponse(user=profile_of(user)).SerializeToString()

    def update_user_profile(self, call: Call, body: bytes) -> bytes:
        """Set the caller's own plan; no limit depends on it."""
        request = parse(auth_pb.UpdateUserProfileRequest, body)
        user = self._services.users.set_plan(call, plan_name(request.plan))
        token = self._services.logins.renew(call).token if call.principal.renewable else ""
        return auth_pb.UpdateUserProfileResponse(user=profile_of(user), jwt_token=token).SerializeToString()

    def delete_user(self, call: Call, body: bytes) -> bytes:
        """Remove the caller's account."""
        request = parse(auth_pb.DeleteUserRequest, body)
        self._services.registration.remove(call, request.password)
        return auth_pb.DeleteUserResponse(success=True).SerializeToString()

    def refresh_token(self, call: Call, body: bytes) -> bytes:
        """A new JWT for 24 hours."""
        parse(auth_pb.RefreshTokenRequest, body)
        login = self._services.logins.renew(call)
        return auth_pb.RefreshTokenResponse(
            jwt_token=login.token, expires_at=seconds(login.expires_at)
        ).SerializeToString()

    def create_api_key(self, call: Call, body: bytes) -> bytes:
        """Make a key with the caller's scopes, less managing keys and administration."""
        call.require(Scope.API_KEYS_WRITE)
        request = parse(auth_pb.CreateAPIKeyRequest, body)
        validate_key_name(request.name)
        created = self._services.keys.create(call, request.name, None, None)
        return auth_pb.CreateAPIKeyResponse(
            full_key=created.secret, key_info=key_of(created.record)
        ).SerializeToString()

    def list_api_keys(self, call: Call, body: bytes) -> bytes:
        """The caller's own keys that are in force, newest first."""
        parse(auth_pb.ListAPIKeysRequest, body)
        own = [
            record
            for record in self._services.keys.list(call)
            if record.is_active and record.owner == call.principal.user_id
        ]
        return auth_pb.ListAPIKeysResponse(keys=[key_of(record) for record in own]).SerializeToString()

    def delete_api_key(self, call: Call, body: bytes) -> bytes:
        """Remove a key; it and its SDK JWTs cease to work at once."""
        request = parse(auth_pb.DeleteAPIKeyRequest, body)
        self._services.logins.delete_key(call, request.key_prefix)
        return auth_pb.DeleteAPIKeyResponse(success=True).SerializeToString()

    def create_sdk_jwt(self, call: Call, body: bytes) -> bytes:
        """A JWT for 7 days that stands for one of the caller's keys."""
        request = parse(auth_pb.CreateSDKJWTRequest, body)
        token = self._services.logins.sdk_token(call, request.api_key_id)
        return auth_pb.CreateSDKJWTResponse(sdk_jwt=token).SerializeToString()

    def get_auth_details_for_sdk(self, call: Call, body: bytes) -> bytes:
        """Whose a key is, for those who may know."""
        request = parse(auth_pb.GetAuthDetailsForSDKRequest, body)
        holder = self._services.logins.details(call, request.api_key_id)
        if holder is None:
            return auth_pb.GetAuthDetailsForSDKResponse(success=False).SerializeToString()
        return auth_pb.GetAuthDetailsForSDKResponse(
            user_id=holder.owner.user_id, plan=plan_of(holder.owner), success=True
        ).SerializeToString()
