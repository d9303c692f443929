"""Checks a Vectron server, ours or any other, against the facts of the contract, over gRPC and over HTTP.

    python tools/vectron_conformance.py --grpc localhost:8081 --http http://localhost:8080 \
        --email dev@neurograph.dev --password developer123

Give one address or both, and either `--token` (an API key or a JWT) or an account. Prints one line for each check and
exits with 1 when one fails. Makes a collection of its own and removes it.
"""

import argparse
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

from vectron_wire import GrpcWire, HttpWire, Refused, Wire

# Each is a 32-bit float to the last bit, so they have to come back as they went.
VECTORS: Final = {
    "near": [0.10000000149011612, -0.5, 3.4028234663852886e38 / 2**100],
    "far": [1.5, 2.25, -8.0],
    "a/b c%": [0.0, 1.1754943508222875e-38, 7.0],
}


class Failure(Exception):
    """A check that did not hold; the message says what was expected and what came."""


@dataclass(frozen=True)
class Outcome:
    """One line of the report."""

    wire: str
    check: str
    problem: str | None


def expect(what: str, found: Any, wanted: Any) -> None:
    """Go on only when both are equal.

    Raises:
        Failure: they are not.
    """
    if found != wanted:
        raise Failure(f"{what}: expected {wanted!r}, got {found!r}")


def expect_refusal(what: str, status: str, call: Callable[[], Any]) -> None:
    """Go on only when a call ends with this gRPC status.

    Raises:
        Failure: it ends with another, or well.
    """
    try:
        call()
    except Refused as refused:
        expect(what, refused.status, status)
        return
    raise Failure(f"{what}: expected {status}, but it was accepted")


class Checks:
    """The checks, in their order, over one wire. They share one collection."""

    def __init__(self, wire: Wire, token: str, account: tuple[str, str] | None) -> None:
        self._wire = wire
        self._token = token
        self._account = account
        self._name = f"conformance-{uuid.uuid4().hex[:12]}"

    def all(self) -> list[Callable[[], None]]:
        """Return the checks to run; the name of each says what it checks."""
        checks = [
            self.a_created_collection_is_listed_and_ready,
            self.an_upsert_counts_what_was_sent,
            self.a_search_ascends_and_finds_itself_first,
            self.a_point_comes_back_to_the_last_bit,
            self.a_deleted_point_is_gone_and_deleting_again_is_fine,
            self.mistakes_have_the_documented_statuses,
            self.anonymous_callers_are_refused,
            self.feedback_is_validated,
        ]
        if self._account is not None:
            checks += [
                self.a_login_makes_a_key_and_a_token_of_it,
                self.a_login_is_exchanged_for_a_new_one,
                self.a_wrong_password_tells_nothing,
            ]
        return [*checks, self.a_dropped_collection_is_gone]

    def _call(self, method: str, token: str | None = None, **fields: Any) -> Any:
        return self._wire.call(method, fields, self._token if token is None else token)

    def a_created_collection_is_listed_and_ready(self) -> None:
        """Create → list → status."""
        made = self._call("CreateCollection", name=self._name, dimension=3, distance="euclidean")
        expect("success", made["success"], True)
        expect("listed", self._name in self._call("ListCollections")["collections"], True)
        status = self._call("GetCollectionStatus", name=self._name)
        expect("status", (status["name"], status["dimension"], status["distance"]), (self._name, 3, "euclidean"))
        expect("ready", [shard["ready"] for shard in status["shards"]].count(False), 0)

    def an_upsert_counts_what_was_sent(self) -> None:
        """Points and payloads."""
        points = [{"id": name, "vector": vector, "payload": {"name": name}} for name, vector in VECTORS.items()]
        expect("upserted", self._call("Upsert", collection=self._name, points=points)["upserted"], len(points))

    def a_search_ascends_and_finds_itself_first(self) -> None:
        """Score is a distance: squared, lower is closer."""
        found = self._call("Search", collection=self._name, vector=[1.5, 2.25, -8.0], topK=2, includeMetadata=True)
        results = found["results"]
        expect("hits", len(results), 2)
        expect("first", (results[0]["id"], results[0]["score"]), ("far", 0.0))
        expect("ascending", results[0]["score"] <= results[1]["score"], True)
        expect("payload", results[0]["payload"], {"name": "far"})
        default = self._call("Search", collection=self._name, vector=[0.0, 0.0, 0.0])
        expect("hits when top_k is absent", len(default["results"]), len(VECTORS))

    def a_point_comes_back_to_the_last_bit(self) -> None:
        """Get gives the stored floats, also of an id with a slash, a space and a percent sign."""
        for name, vector in VECTORS.items():
            point = self._call("Get", collection=self._name, id=name)["point"]
            expect(f"vector of {name!r}", point["vector"], vector)
            expect(f"payload of {name!r}", point["payload"], {"name": name})

    def a_deleted_point_is_gone_and_deleting_again_is_fine(self) -> None:
        """Delete → get fails → delete again → not found by a search."""
        self._call("Delete", collection=self._name, id="near")
        expect_refusal("Get", "NOT_FOUND", lambda: self._call("Get", collection=self._name, id="near"))
        self._call("Delete", collection=self._name, id="near")
        found = self._call("Search", collection=self._name, vector=VECTORS["near"])["results"]
        expect("found", "near" in [hit["id"] for hit in found], False)

    def mistakes_have_the_documented_statuses(self) -> None:
        """Every mistake that the contract names."""
        name = self._name
        mistakes: list[tuple[str, str, dict[str, Any]]] = [
            ("ALREADY_EXISTS", "CreateCollection", {"name": name, "dimension": 3}),
            ("INVALID_ARGUMENT", "CreateCollection", {"name": f"{name}-0", "dimension": 0}),
            ("INVALID_ARGUMENT", "CreateCollection", {"name": "", "dimension": 3}),
            ("INVALID_ARGUMENT", "CreateCollection", {"name": f"{name}-x", "dimension": 3, "distance": "manhattan"}),
            ("NOT_FOUND", "DeleteCollection", {"name": f"{name}-none"}),
            ("NOT_FOUND", "GetCollectionStatus", {"name": f"{name}-none"}),
            ("NOT_FOUND", "Search", {"collection": f"{name}-none", "vector": [1.0]}),
            ("INVALID_ARGUMENT", "Search", {"collection": name, "vector": [1.0]}),
            ("INVALID_ARGUMENT", "Search", {"collection": name}),
            ("INVALID_ARGUMENT", "Upsert", {"collection": name, "points": []}),
            ("INVALID_ARGUMENT", "Upsert", {"collection": name, "points": [{"id": "", "vector": [1.0, 2.0, 3.0]}]}),
            ("INVALID_ARGUMENT", "Upsert", {"collection": name, "points": [{"id": "x", "vector": [1.0]}]}),
            ("NOT_FOUND", "Upsert", {"collection": f"{name}-none", "points": [{"id": "x", "vector": [1.0]}]}),
            ("NOT_FOUND", "Get", {"collection": name, "id": "none"}),
        ]
        for status, method, fields in mistakes:
            expect_refusal(f"{method} {fields}", status, lambda m=method, f=fields: self._call(m, **f))  # type: ignore[misc]

    def anonymous_callers_are_refused(self) -> None:
        """No credentials, and wrong ones."""
        for token in ("", "vkey-00000000-0000-0000-0000-000000000000", "no.jwt.here"):
            expect_refusal(f"token {token!r}", "UNAUTHENTICATED", lambda t=token: self._call("ListCollections", t))  # type: ignore[misc]

    def feedback_is_validated(self) -> None:
        """Send feedback with relevances from 1 to 5 and at least one item."""
        for items in ([], [{"resultId": "far", "relevanceScore": 0}], [{"resultId": "far", "relevanceScore": 6}]):
            fields = {"collection": self._name, "query": "q", "feedbackItems": items}
            expect_refusal(f"items {items}", "INVALID_ARGUMENT", lambda f=fields: self._call("SubmitFeedback", **f))  # type: ignore[misc]
        item = {"resultId": "far", "relevanceScore": 5, "clicked": True}
        answer = self._call("SubmitFeedback", collection=self._name, query="q", feedbackItems=[item])
        expect("success", (answer["success"], len(answer["feedbackId"])), (True, 36))

    def a_login_makes_a_key_and_a_token_of_it(self) -> None:
        """Log in → key → SDK token → both work → delete the key → neither works."""
        email, password = self._account or ("", "")
        login = self._call("Login", "", email=email, password=password)
        jwt = login["jwtToken"]
        expect("profile", self._call("GetUserProfile", jwt)["user"]["id"], login["user"]["id"])
        made = self._call("CreateAPIKey", jwt, name="conformance")
        prefix = made["keyInfo"]["keyPrefix"]
        expect("valid", self._call("ValidateAPIKey", "", fullKey=made["fullKey"])["valid"], True)
        listed = [key["keyPrefix"] for key in self._call("ListAPIKeys", jwt)["keys"]]
        expect("listed", prefix in listed, True)
        sdk = self._call("CreateSDKJWT", jwt, apiKeyId=prefix)["sdkJwt"]
        for token in (made["fullKey"], sdk):
            self._call("ListCollections", token)
        expect("deleted", self._call("DeleteAPIKey", jwt, keyPrefix=prefix)["success"], True)
        for token in (made["fullKey"], sdk):
            expect_refusal("a deleted key", "UNAUTHENTICATED", lambda t=token: self._call("ListCollections", t))  # type: ignore[misc]
        expect("valid", self._call("ValidateAPIKey", "", fullKey=made["fullKey"])["valid"], False)

    def a_login_is_exchanged_for_a_new_one(self) -> None:
        """Log in → refresh → the new token works and says until when; an anonymous caller gets none."""
        email, password = self._account or ("", "")
        jwt = self._call("Login", "", email=email, password=password)["jwtToken"]
        fresh = self._call("RefreshToken", jwt)
        expect("expiry in the future", int(fresh["expiresAt"]) > time.time(), True)
        self._call("ListCollections", fresh["jwtToken"])
        expect_refusal("an anonymous caller", "UNAUTHENTICATED", lambda: self._call("RefreshToken", ""))

    def a_wrong_password_tells_nothing(self) -> None:
        """Compare the answers to a wrong password and an unknown email."""
        answers = set()
        for email in ((self._account or ("",))[0], f"{uuid.uuid4().hex}@example.org"):
            try:
                self._call("Login", "", email=email, password="Wrong-password-1")  # noqa: S106
            except Refused as refused:
                answers.add((refused.status, refused.message))
        expect("answers", [status for status, _ in answers], ["UNAUTHENTICATED"])

    def a_dropped_collection_is_gone(self) -> None:
        """Drop → status fails."""
        expect("success", self._call("DeleteCollection", name=self._name)["success"], True)
        expect_refusal("status", "NOT_FOUND", lambda: self._call("GetCollectionStatus", name=self._name))


def run(wires: Sequence[Wire], token: str | None, account: tuple[str, str] | None) -> list[Outcome]:
    """Run every check over every wire; one that fails does not keep the others from running."""
    outcomes = []
    for wire in wires:
        held = token
        if held is None:
            email, password = account or ("", "")
            held = str(wire.call("Login", {"email": email, "password": password}, "")["jwtToken"])
        for check in Checks(wire, held, account).all():
            name = check.__name__.replace("_", " ")
            try:
                check()
            except Failure as failure:
                outcomes.append(Outcome(wire.name, name, str(failure)))
            except Refused as refused:
                outcomes.append(Outcome(wire.name, name, f"refused with {refused.status}: {refused.message}"))
            except (KeyError, IndexError) as error:
                outcomes.append(Outcome(wire.name, name, f"the answer lacks {error}"))
            else:
                outcomes.append(Outcome(wire.name, name, None))
    return outcomes


def main(arguments: Sequence[str]) -> int:
    """Run from the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grpc", help="host:port of the gRPC API")
    parser.add_argument("--http", help="base URL of the HTTP gateway")
    parser.add_argument("--token", help="an API key or a JWT; needs the right to write")
    parser.add_argument("--email", help="account for the checks of AuthService")
    parser.add_argument("--password", help="its password")
    given = parser.parse_args(arguments)
    account = (given.email, given.password) if given.email and given.password else None
    if not (given.grpc or given.http) or not (given.token or account):
        parser.error("give --grpc or --http, and --token or --email with --password")
    with ExitStack() as stack:
        wires: list[Wire] = [stack.enter_context(GrpcWire(given.grpc))] if given.grpc else []
        wires += [stack.enter_context(HttpWire(given.http))] if given.http else []
        outcomes = run(wires, given.token, account)
    for outcome in outcomes:
        print(f"{'ok  ' if outcome.problem is None else 'FAIL'} {outcome.wire}: {outcome.check}")
        if outcome.problem is not None:
            print(f"     {outcome.problem}")
    failures = sum(outcome.problem is not None for outcome in outcomes)
    print(f"{len(outcomes) - failures} of {len(outcomes)} checks passed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
