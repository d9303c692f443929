"""Creating many tokens: an item, ready to be sent. No I/O."""

from dataclasses import dataclass, field

from neurograph._protocol.encoding import encode, packed, vector
from neurograph._protocol.operations import NewToken, new_token, placement_fields, token_fields
from neurograph._wirekit.vectors import VectorError, pack, settled

_PLAIN_FIELDS = 1  # text; any other may be a part of a placement
_JSON_PER_BYTE = 5  # a float32 takes 4 bytes in a frame and some 20 in JSON


@dataclass(slots=True)
class Encoded:
    """An item ready to be sent, as it was when it was read: whoever gives the items may use its arrays again.

    Attributes:
        body: JSON object.
        packed: the embedding as float32, where it is not in the body.
        listed: whether there is an embedding in the body.
    """

    index: int
    item: NewToken
    body: bytes = field(repr=False)
    packed: bytes | None = field(default=None, repr=False)
    listed: bool = False

    def size(self, frames: bool | None) -> int:
        """Return bytes on the wire, in a frame unless the server is known to read none."""
        vector = len(self.packed or b"")
        return len(self.body) + (vector * _JSON_PER_BYTE if frames is False else vector)

    def with_embedding(self, embedding: bytes) -> bytes:
        """Return the body with this JSON as its embedding."""
        return b'%b,"embedding":%b}' % (self.body[:-1], embedding)

    def canonical(self) -> bytes:
        """Return the same for the same item, however it is sent."""
        return self.body + b"\0" + (self.packed or b"")


def encoded(item: NewToken, index: int, *, pack_lists: bool) -> Encoded:
    """Encode an item.

    Args:
        item: a text, a dictionary or a TokenCreate.
        index: its place among the items.
        pack_lists: whether an embedding that is a list becomes float32 too; else it goes into the JSON as it is.

    Raises:
        ValidationError: it is no token.
    """
    fields = token_fields(item, index)
    text, metadata, embedding = fields["text"], fields.get("metadata"), fields.get("embedding")
    plain = metadata is None and type(text) is str and text.isascii()
    document = {"text": text} if plain else new_token(text, metadata, f"tokens.{index}.")
    if len(fields) > _PLAIN_FIELDS:
        document.update(placement_fields(fields, f"tokens.{index}."))
    if embedding is None:
        return Encoded(index, item, encode(document))
    if hasattr(embedding, "__next__"):
        embedding = settled(embedding)
    if not pack_lists and isinstance(embedding, (list, tuple)):
        document["embedding"] = vector(embedding, f"tokens.{index}.embedding")
        return Encoded(index, item, encode(document), listed=True)
    try:
        rows = pack(embedding)
    except VectorError:
        rows = packed(embedding, f"tokens.{index}.embedding")  # says which item it is
    return Encoded(index, item, encode(document), rows)
