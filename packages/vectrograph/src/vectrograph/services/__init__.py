"""Use cases: authorisation, limits and rules, over a given engine and control store. They know no transport."""

from collections.abc import Callable
from dataclasses import dataclass, field

from vectrograph.domain.limits import Limits
from vectrograph.services.audit import Audit
from vectrograph.services.bulk import Bulk
from vectrograph.services.catalog import Catalog
from vectrograph.services.concurrency import Concurrency
from vectrograph.services.development import Development
from vectrograph.services.embeddings import Embeddings
from vectrograph.services.feedback import Feedback
from vectrograph.services.health import Health
from vectrograph.services.keys import Keys
from vectrograph.services.logins import Logins
from vectrograph.services.points import Points
from vectrograph.services.rate_limits import RateLimits
from vectrograph.services.registration import Registration
from vectrograph.services.search import Search
from vectrograph.services.sessions import Sessions
from vectrograph.services.tokens import Tokens
from vectrograph.services.users import Users


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that a transport may call. `close` writes what is remembered for later; engine and store stay open."""

    catalog: Catalog
    points: Points
    search: Search
    bulk: Bulk
    tokens: Tokens
    embeddings: Embeddings
    sessions: Sessions
    logins: Logins
    registration: Registration
    keys: Keys
    users: Users
    audit: Audit
    feedback: Feedback
    health: Health
    development: Development
    limits: Limits
    rate_limits: RateLimits = field(default_factory=RateLimits)
    concurrency: Concurrency = field(default_factory=Concurrency)
    close: Callable[[], None] = field(repr=False)
