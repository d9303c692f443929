"""Use cases: authorisation, limits and rules, over a given engine and control store. They know no transport."""

from collections.abc import Callable
from dataclasses import dataclass, field

from vectrograph.domain.limits import Limits
from vectrograph.services.accounts.audit import Audit
from vectrograph.services.accounts.development import Development
from vectrograph.services.accounts.keys import Keys
from vectrograph.services.accounts.logins import Logins
from vectrograph.services.accounts.registration import Registration
from vectrograph.services.accounts.sessions import Sessions
from vectrograph.services.accounts.users import Users
from vectrograph.services.cdna.cdna import Cdna
from vectrograph.services.grid.grids import Grids
from vectrograph.services.health import Health
from vectrograph.services.limits.concurrency import Concurrency
from vectrograph.services.limits.rate_limits import RateLimits
from vectrograph.services.live.live import Live
from vectrograph.services.points.bulk import Bulk
from vectrograph.services.points.collections import Catalog
from vectrograph.services.points.embeddings import Embeddings
from vectrograph.services.points.feedback import Feedback
from vectrograph.services.points.points import Points
from vectrograph.services.points.search import Search
from vectrograph.services.points.tokens import Tokens
from vectrograph.services.traffic import Traffic


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that a transport may call. `close` writes what is remembered for later; engine and store stay open."""

    catalog: Catalog
    points: Points
    search: Search
    bulk: Bulk
    tokens: Tokens
    embeddings: Embeddings
    grids: Grids
    sessions: Sessions
    logins: Logins
    registration: Registration
    keys: Keys
    users: Users
    audit: Audit
    feedback: Feedback
    health: Health
    cdna: Cdna
    live: Live
    traffic: Traffic
    development: Development
    limits: Limits
    rate_limits: RateLimits = field(default_factory=RateLimits)
    concurrency: Concurrency = field(default_factory=Concurrency)
    close: Callable[[], None] = field(repr=False)
