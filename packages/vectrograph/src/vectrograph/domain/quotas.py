"""The most that callers can make the account database keep, enforced where it is stored."""

from dataclasses import dataclass

# Bytes of a mebibyte.
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """Upper bounds of what is stored for callers; every one may be changed by the operator.

    Attributes:
        max_accounts: accounts of the server.
        max_api_keys: API keys of one account. Revoked and expired ones stay as long as there is room; those that ended
            first are forgotten.
        max_sessions: logins of one account that are not over; a further one ends the oldest.
        max_feedback_bytes: feedback of one account.
        max_feedback_total_bytes: feedback of all accounts.
    """

    max_accounts: int = 10_000
    max_api_keys: int = 500
    max_sessions: int = 1_000
    max_feedback_bytes: int = 16 * MIB
    max_feedback_total_bytes: int = 256 * MIB
