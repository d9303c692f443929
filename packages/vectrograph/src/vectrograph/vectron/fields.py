"""Types of the fields of messages, and the two bases of their structs."""

from enum import Enum, auto
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct


class Scalar(Enum):
    """A scalar type of protocol buffers that JSON has no type for, or a wider one."""

    INT32 = auto()
    UINT32 = auto()
    INT64 = auto()
    UINT64 = auto()
    BYTES = auto()


Int32 = Annotated[int, Scalar.INT32, Meta(ge=-(2**31), le=2**31 - 1)]
UInt32 = Annotated[int, Scalar.UINT32, Meta(ge=0, le=2**32 - 1)]
UInt64 = Annotated[int, Scalar.UINT64, Meta(ge=0, description="A 64-bit integer, also as a string.")]
SentInt64 = Annotated[
    int,
    Scalar.INT64,
    Meta(
        description="A 64-bit integer, in JSON a string.",
        extra_json_schema={"pattern": "^-?[0-9]+$"},
    ),
]
Bytes = Annotated[bytes, Scalar.BYTES, Meta(description="Bytes in base64.")]
# In JSON a number, or the name of one that JSON does not have, such as "Infinity".
Float: TypeAlias = float | str


class Message(Struct, frozen=True, kw_only=True, rename="camel"):
    """A message; its names in JSON are lowerCamelCase."""


class Secret(Message, frozen=True, kw_only=True):
    """A message with a secret in it: its repr shows nothing."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"
