"""The vectron client's operations beyond Vectron's own API, against the real server; and the examples of its docs."""

import asyncio
import inspect
import textwrap
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from vectrograph import RunningServer, running
from vectron_client import (
    AsyncVectronAuthClient,
    AsyncVectronClient,
    AuthenticationError,
    InvalidArgumentError,
    NotFoundError,
    Point,
    VectronAuthClient,
    VectronClient,
    each,
    field,
)

YEARS = [1990 + n for n in range(40)]


def _film(n: int, year: int) -> Point:
    return Point(f"{n:02}", [float(n), 0.0], {"year": year, "tags": ["old"] if year < 2000 else ["new", "red"]})


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running() as server:
        with server.vectron() as connected:
            connected.create_collection("films", 2, "euclidean")
            connected.upsert(
                "films",
                [
                    Point(
                        f"{n:02}", [float(n), 0.0], {"year": year, "tags": ["old"] if year < 2000 else ["new", "red"]}
                    )
                    for n, year in enumerate(YEARS)
                ],
            )
        yield server


@pytest.fixture
def films(server: RunningServer) -> Iterator[VectronClient]:
    with server.vectron() as connected:
        yield connected


@pytest.fixture
def scratch(films: VectronClient) -> str:
    name = f"scratch-{uuid.uuid4().hex}"
    films.create_collection(name, 2, "euclidean")
    return name


def test_many_searches_find_what_single_ones_find(films: VectronClient) -> None:
    queries = np.array([[n + 0.2, 0.0] for n in range(40)], dtype=np.float32)
    varied: list[dict[str, Any]] = [
        {},
        {"include_vectors": True},
        {"include_payload": False},
        {"exact": True},
        {"ef": 64},
    ]
    for options in varied:
        many = films.search_many("films", queries, 3, **options)
        assert many == [films.search("films", query, 3, **options) for query in queries]
    assert many[7].ids == ["07", "08", "06"]
    assert many[7].scores.dtype == np.float32
    assert films.search_many("films", [], 3) == []


def test_filters_as_dictionaries_and_as_builders_mean_the_same(films: VectronClient) -> None:
    for written, built, wanted in (
        ({"path": "year", "range": {"gte": 2005}}, field("year") >= 2005, [f"{n:02}" for n in range(15, 40)]),
        ({"path": "tags", "any": {"eq": "old"}}, field("tags").any(each() == "old"), [f"{n:02}" for n in range(10)]),
        (
            {"and": [{"not": {"path": "year", "in": [1990]}}, {"path": "year", "lt": 1992}]},
            ~field("year").is_in([1990]) & (field("year") < 1992),
            ["01"],
        ),
    ):
        for chosen in (written, built):
            assert [point.id for point in films.scroll("films", filter=chosen)] == wanted
            assert films.count("films", chosen) == len(wanted)
            hits = films.search("films", [0.0, 0.0], 100, filter=chosen)
            assert [hit.id for hit in hits] == wanted
            [many] = films.search_many("films", [[0.0, 0.0]], 100, filter=chosen)
            assert many.ids == wanted
            *_, last = films.search_stream("films", [0.0, 0.0], 100, filter=chosen)
            assert last == hits
    with pytest.raises(InvalidArgumentError, match="exactly one operator"):
        films.search("films", [0.0, 0.0], filter={"year": 1990})


def test_a_walk_meets_every_point_once_also_when_pages_are_small(films: VectronClient) -> None:
    ids = [f"{n:02}" for n in range(40)]
    assert [point.id for point in films.scroll("films", page_size=7)] == ids
    assert [point.id for point in films.scroll("films", descending=True, page_size=40)] == ids[::-1]
    point = next(films.scroll("films", include_vectors=True))
    assert point == Point("00", [0.0, 0.0], {"year": 1990, "tags": ["old"]})
    bare = next(films.scroll("films", include_payload=False))
    assert (bare.vector, bare.payload) == ([], {})
    page = films.scroll_page("films", page_size=30)
    assert [point.id for point in films.scroll_page("films", page.cursor, page_size=30).points] == ids[30:]


def test_conditions_of_an_upsert(films: VectronClient, scratch: str) -> None:
    [made] = films.upsert_if(scratch, [Point("a", [1.0, 0.0])], if_absent=True)
    assert made.status == "created"
    outcomes = films.upsert_if(scratch, [Point("a", [2.0, 0.0]), Point("b", [3.0, 0.0])], if_absent=True)
    assert [one.status for one in outcomes] == ["skipped", "created"]
    assert films.get(scratch, "a").vector == [1.0, 0.0]
    [stale] = films.upsert_if(scratch, [Point("a", [4.0, 0.0])], if_version={"a": made.version + 100})
    assert stale.status == "skipped"
    [fresh] = films.upsert_if(scratch, [Point("a", [4.0, 0.0], {"n": 1})], if_version={"a": made.version})
    assert (fresh.status, fresh.version > made.version) == ("updated", True)
    [matched] = films.upsert_if(scratch, [Point("a", [5.0, 0.0])], if_match=field("n") == 1)
    assert matched.status == "updated"
    assert films.get(scratch, "a").vector == [5.0, 0.0]
    assert films.upsert_if(scratch, [], if_absent=True) == []


def test_deletion_by_filter(films: VectronClient, scratch: str) -> None:
    films.upsert(scratch, [Point(str(n), [float(n), 1.0], {"n": n}) for n in range(9)])
    assert films.delete_where(scratch, field("n") < 4) == 4
    assert [point.id for point in films.scroll(scratch)] == ["4", "5", "6", "7", "8"]
    assert films.get_collection_info(scratch).count == 5


@pytest.mark.parametrize("quantization", ["int8", "float16", "float32"])
def test_an_index_stores_components_as_it_was_told(films: VectronClient, quantization: str) -> None:
    films.create_collection(f"in {quantization}", 2, "dot", quantization=quantization)
    assert films.get_collection_info(f"in {quantization}").quantization == quantization
    assert films.get_collection_info("films").quantization == "int8"
    films.delete_collection(f"in {quantization}")


def test_a_search_tells_how_it_was_answered(films: VectronClient) -> None:
    explained = films.explain_search("films", [0.0, 0.0], 5, filter=field("year") >= 2020)
    assert [hit.id for hit in explained.results] == ["30", "31", "32", "33", "34"]
    assert explained.plan.strategy
    assert explained.plan.milliseconds >= 0


def test_the_time_of_a_search_reaches_the_engine(server: RunningServer, films: VectronClient) -> None:
    seen: list[float | None] = []
    search = server.server.services.search
    inner = search.search

    def watched(call: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(call.deadline)
        return inner(call, *args, **kwargs)

    search.search = watched  # type: ignore[method-assign]
    try:
        unlimited = films.with_options(timeout_seconds=0)
        unlimited.search("films", [0.0, 0.0])
        unlimited.search_many("films", [[0.0, 0.0]])
        unlimited.search("films", [0.0, 0.0], timeout=5)
        unlimited.search_many("films", [[0.0, 0.0]], timeout=5)
    finally:
        search.search = inner  # type: ignore[method-assign]
    assert [deadline is None for deadline in seen] == [True, True, False, False]


def test_the_asynchronous_client_does_the_same(server: RunningServer) -> None:
    async def main() -> None:
        async with server.async_vectron() as connected:
            many = await connected.search_many("films", [[3.2, 0.0], (8.2, 0.0)], 1)
            assert [hits.ids for hits in many] == [["03"], ["08"]]
            walked = [point.id async for point in connected.scroll("films", filter=field("year") < 1993, page_size=2)]
            assert walked == ["00", "01", "02"]
            assert await connected.count("films") == 40
            assert (await connected.get_limits()).max_top_k == 1000
            assert (await connected.get_collection_info("films")).indexed <= 40
            with pytest.raises(NotFoundError):
                await connected.delete_where("nothing", field("year") < 0)

    asyncio.run(main())


def test_from_an_account_to_a_key_to_its_end(server: RunningServer) -> None:
    with VectronAuthClient(server.grpc_address) as auth:
        with pytest.raises(AuthenticationError):
            auth.get_user_profile()
        login = auth.login("dev@neurograph.dev", "developer123")
        assert auth.get_user_profile() == login.user
        made = auth.create_api_key("for a test")
        assert made.api_key not in repr(made)
        assert login.token not in repr(login)
        owner = auth.validate_api_key(made.api_key)
        assert owner is not None
        assert (owner.user_id, owner.key_prefix) == (login.user.id, made.info.key_prefix)
        token = auth.create_sdk_token(made.info.key_prefix)
        for credential in (made.api_key, token, auth.refresh().token):
            with VectronClient(server.grpc_address, credential) as connected:
                assert "films" in connected.list_collections()
        with VectronAuthClient(server.grpc_address, made.api_key) as holder:
            details = holder.get_key_owner(made.info.key_prefix)
            assert details is not None
            assert details.user_id == login.user.id
        assert made.info in auth.list_api_keys()
        auth.delete_api_key(made.info.key_prefix)
        assert auth.validate_api_key(made.api_key) is None
        with VectronClient(server.grpc_address, token) as connected, pytest.raises(AuthenticationError):
            connected.list_collections()


def test_from_registration_to_deletion(server: RunningServer) -> None:
    email = f"{uuid.uuid4().hex}@example.org"

    async def main() -> None:
        async with AsyncVectronAuthClient(server.grpc_address) as auth:
            user = await auth.register(email, "Lovelace-1815")
            assert user.email == email
            await auth.login(email, "Lovelace-1815")
            assert (await auth.update_user_profile("PAID")).plan == "PAID"
            assert (await auth.get_user_profile()).plan == "PAID"
            key = await auth.create_api_key("a developer makes keys")
            async with AsyncVectronClient(server.grpc_address, key.api_key) as client:
                assert "tokens" in await client.list_collections()
            await auth.delete_user("Lovelace-1815")
            with pytest.raises(AuthenticationError):
                await auth.login(email, "Lovelace-1815")

    asyncio.run(main())


def _examples(kind: type) -> Iterator[tuple[str, str]]:
    """Yield the blocks after `Example::` of the docstrings of a class, with the names of their owners."""
    for name, function in vars(kind).items():
        _, _, block = (inspect.getdoc(function) or "").partition("Example::\n")
        if block and not name.startswith("__"):
            yield name, textwrap.dedent(block)


def _run(code: str, names: dict[str, Any]) -> int:
    """Run a block line by line; where a comment stands it is what the line gives. Returns how many there were."""
    checked = 0
    for line in filter(None, code.splitlines()):
        statement, _, wanted = line.partition("  # ")
        if wanted:
            assert repr(eval(statement, names)) == wanted, line  # noqa: S307 - code of our own
            checked += 1
        else:
            exec(statement, names)  # noqa: S102
    return checked


@pytest.mark.parametrize(("kind", "shown"), [(VectronClient, 10), (VectronAuthClient, 8)])
def test_the_examples_of_the_docstrings_run(kind: type, shown: int) -> None:
    with running() as server, server.vectron() as connected, VectronAuthClient(server.grpc_address) as auth:
        connected.create_collection("docs", 2, "cosine")
        payloads: list[dict[str, Any]] = [{"title": "first"}, {"title": "second", "year": 2024}, {}]
        vectors = [[1.0, 0.0], [0.0, 1.0], [0.8, 0.2]]
        connected.upsert("docs", [Point(*parts) for parts in zip("abc", vectors, payloads, strict=True)])
        names: dict[str, Any] = {"client": connected, "auth": auth, "Point": Point}
        assert sum(_run(code, names) for _, code in _examples(kind)) >= shown


def test_the_asynchronous_twin_has_the_same_operations() -> None:
    for one, other in ((VectronClient, AsyncVectronClient), (VectronAuthClient, AsyncVectronAuthClient)):
        assert one.help()[1]["operations"] == other.help()[1]["operations"]
