"""The gateway's JSON against protobuf's own: what it writes we read, and what we write it reads, field by field."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from vectrograph.control.records import FeedbackItem, FeedbackRecord
from vectrograph.domain.collections import (
    CollectionInfo,
    CollectionRef,
    CollectionSpec,
    CollectionState,
    Distance,
    VectorField,
)
from vectrograph.domain.limits import Limits
from vectrograph.domain.points import Point
from vectrograph.domain.queries import Hit, Plan, SearchResult
from vectrograph.gateway.hits import search_response
from vectrograph.gateway.proto_json import read_message, write_message
from vectrograph.rpc._pb import auth_pb, vectrograph_pb, vectron_pb
from vectrograph.rpc.codec import messages as wire
from vectrograph.rpc.codec.fragments import encode_hits
from vectrograph.rpc.methods import SERVICES
from vectrograph.vectron._messages import auth, vectrograph, vectron
from vectrograph.vectron._messages.methods import METHODS
from vectrograph.vectron.collections import info_of, limits_of
from vectrograph.vectron.feedback import feedback_of

pytestmark = pytest.mark.slow

REQUESTS: dict[type[msgspec.Struct], type[Message]] = {
    METHODS[f"{service}/{name}"].request: method.request
    for service, methods in SERVICES.items()
    for name, method in methods.items()
}
text = st.text(st.characters(codec="utf-8"), max_size=8)
SCALARS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_STRING: text,
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=8),
    FieldDescriptor.TYPE_FLOAT: st.floats(width=32, allow_nan=False),
    FieldDescriptor.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: st.integers(0, 2**64 - 1),
}


def values(field: Any) -> st.SearchStrategy[Any]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        key, value = field.message_type.fields
        return st.dictionaries(values(key), values(value), max_size=3)
    if field.message_type is not None:
        one = fields_of(field.message_type)
    elif field.enum_type is not None:
        one = st.sampled_from([value.number for value in field.enum_type.values])
    else:
        one = SCALARS[field.type]
    return st.lists(one, max_size=3) if field.is_repeated else one


def fields_of(descriptor: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={field.name: values(field) for field in descriptor.fields})


def as_read(value: Any, descriptor: Any) -> Any:
    """Return the content of a struct as the fields of the message: nested structs as dictionaries."""
    if not isinstance(value, msgspec.Struct):
        return value
    found = {}
    for name in value.__struct_fields__:
        field, held = descriptor.fields_by_name[name], getattr(value, name)
        if field.enum_type is not None:
            held = field.enum_type.values_by_name[held.name].number
        elif isinstance(held, list):
            held = [as_read(item, field.message_type) for item in held]
        elif isinstance(held, msgspec.Struct):
            held = as_read(held, field.message_type)
        if held is not None:
            found[name] = held
    return found


@settings(max_examples=150, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("kind", REQUESTS, ids=lambda kind: kind.__name__)
def test_what_protobuf_writes_is_read_as_it_was_meant(kind: type[msgspec.Struct], data: st.DataObject) -> None:
    message = REQUESTS[kind](**data.draw(fields_of(REQUESTS[kind].DESCRIPTOR)))
    styles: dict[str, Any] = {
        "always_print_fields_with_no_presence": data.draw(st.booleans(), label="defaults"),
        "preserving_proto_field_name": data.draw(st.booleans(), label="snake case"),
        "use_integers_for_enums": data.draw(st.booleans(), label="enums as numbers"),
    }
    written = json_format.MessageToJson(message, **styles).encode()
    found = read_message(kind, written, Limits())
    assert REQUESTS[kind](**as_read(found, REQUESTS[kind].DESCRIPTOR)) == message


def test_every_field_of_a_message_is_known_to_its_struct() -> None:
    for kind, message in REQUESTS.items():
        assert list(kind.__struct_fields__) == [field.name for field in message.DESCRIPTOR.fields], kind


payloads = st.dictionaries(text, text | st.integers(-(2**53), 2**53) | st.none() | st.booleans(), max_size=3)
floats = st.floats(width=32, allow_nan=False)


@st.composite
def found_hits(draw: st.DrawFn) -> SearchResult:
    hits = []
    for _ in range(draw(st.integers(0, 3))):
        # What is stored is finite; scores may overflow.
        vector = draw(st.none() | st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=3))
        point = Point(
            id=draw(text),
            vector=None if vector is None else np.array(vector, np.float32),
            payload=draw(st.none() | payloads),
            text=None,
            created_at=0,
            updated_at=0,
            version=1,
            created_seq=1,
        )
        hits.append(Hit(point, draw(floats), draw(st.none() | floats)))
    plan = Plan(strategy=draw(text), index=draw(st.none() | text), rows_scanned=2**40, matches=None, milliseconds=0.5)
    return SearchResult(hits=tuple(hits), complete=draw(st.booleans()), plan=plan)


@settings(max_examples=300, deadline=None)
@given(found_hits(), st.booleans())
def test_both_wires_carry_the_same_answer(result: SearchResult, explain: bool) -> None:
    written = write_message(search_response(result, explain=explain))
    over_http = json_format.Parse(written, vectron_pb.SearchResponse())
    encoded = wire.encode_explained(result) if explain else encode_hits(result.hits)
    assert over_http == vectron_pb.SearchResponse.FromString(encoded)


def answers() -> Iterator[tuple[msgspec.Struct, Message]]:
    item = FeedbackItem(result_id="r", relevance_score=5, clicked=True, position=-1, comment="ä")
    record = FeedbackRecord(
        feedback_id="f", tenant="t", collection="c", query="q", user_id="u", context={"k": "v"}, items=(item,),
        created_at=1_700_000_000_000_000,
    )  # fmt: skip
    yield (
        vectrograph.ListFeedbackResponse(feedback=[feedback_of(record)], cursor="x"),
        vectrograph_pb.ListFeedbackResponse(),
    )
    yield limits_of(Limits()), vectrograph_pb.GetLimitsResponse()
    field = VectorField(dimension=3, distance=Distance.DOT)
    spec = CollectionSpec(ref=CollectionRef(tenant="t", name="c"), fields=(field,))
    info = CollectionInfo(spec=spec, state=CollectionState.READY, count=2, seq=9, created_at=1_700_000_000_000_000)
    yield info_of(info, "u-1"), vectrograph_pb.GetCollectionInfoResponse()
    yield vectrograph.CountResponse(count=2**64 - 1), vectrograph_pb.CountResponse()
    yield vectron.UpsertResponse(upserted=7, json_payload=False), vectron_pb.UpsertResponse()
    shard = vectron.ShardStatus(shard_id=1, replicas=[1, 2**64 - 1], leader_id=1, ready=False)
    status = vectron.GetCollectionStatusResponse(name="c", dimension=3, distance="dot", shards=[shard])
    yield status, vectron_pb.GetCollectionStatusResponse()
    plan, state = auth.Plan.PAID, auth.SubscriptionStatus.ACTIVE
    user = auth.UserProfile(id="u", email="", created_at=-1, plan=plan, subscription_status=state)
    yield auth.LoginResponse(jwt_token="t", user=user), auth_pb.LoginResponse()
    key = auth.APIKey(key_prefix="p", user_id="u", created_at=0, name="n")
    yield auth.ListAPIKeysResponse(keys=[key]), auth_pb.ListAPIKeysResponse()


def test_answers_are_what_protobuf_writes_with_all_defaults() -> None:
    for struct, empty in answers():
        written = write_message(struct)
        parsed = json_format.Parse(written, empty)
        again = json_format.MessageToDict(parsed, always_print_fields_with_no_presence=True)
        assert again == json.loads(written)


def test_both_codecs_write_the_same_answer() -> None:
    for struct, empty in answers():
        over_http = json_format.Parse(write_message(struct), empty)
        assert over_http == type(over_http).FromString(wire.encode(type(over_http), struct))
