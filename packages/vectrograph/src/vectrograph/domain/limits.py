"""The largest things a server takes, enforced by the services and advertised to clients."""

from dataclasses import dataclass

from vectrograph.domain.points import WriteLimits

# Bytes of a mebibyte.
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Upper bounds of one server; every one may be lowered by its operator.

    Attributes:
        max_body_bytes: one HTTP body or gRPC message.
        max_batch: points, texts or query vectors in one request.
        max_top_k: hits for one query.
        default_top_k: hits when a request says 0 or nothing.
        max_hits: hits of one request, queries times `top_k`.
        max_answer_bytes: vectors (4 bytes a component), payloads (compact JSON) and texts (UTF-8) in one answer.
        max_search_work: multiplications of one search, queries times points looked at times components.
        max_dimension: components of a vector.
        max_text_bytes: one text, as UTF-8.
        max_payload_bytes: one payload, as compact JSON.
        max_name_bytes: name of a collection, as UTF-8.
        max_page: items of one page of a list.
        max_id_bytes: id of a point, as UTF-8.
        max_filter_conditions: conditions of one filter.
        max_filter_paths: distinct paths in one filter.
        max_filter_work: tests of one filter, points times conditions and paths, more for long texts; about 100 ns each.
        max_collections: collections of the server, those named `tokens` not counted.
        max_tenant_collections: collections of one tenant, `tokens` not counted.
    """

    max_body_bytes: int = 64 * MIB
    max_batch: int = 10_000
    max_top_k: int = 1_000
    default_top_k: int = 10
    max_hits: int = 100_000
    max_answer_bytes: int = 64 * MIB
    max_search_work: int = 250_000_000_000
    max_dimension: int = 8_192
    max_text_bytes: int = 65_536
    max_payload_bytes: int = 1 * MIB
    max_name_bytes: int = 255
    max_page: int = 1_000
    max_id_bytes: int = 512
    max_filter_conditions: int = 1_024
    max_filter_paths: int = 64
    max_filter_work: int = 500_000_000
    max_collections: int = 10_000
    max_tenant_collections: int = 5_000

    @property
    def write(self) -> WriteLimits:
        """The part that engines apply, in the one place where they look at operations and encode them."""
        return WriteLimits(self.max_batch, self.max_payload_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveLimits:
    """Streams that may be open at once.

    Attributes:
        in_all: on this server.
        per_account: over all API keys and logins of an account.
        per_address: from one network address.
    """

    in_all: int = 2_000
    per_account: int = 100
    per_address: int = 500
