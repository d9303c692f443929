"""Ordering hits anew by the words of a query and by feedback, in a score that stays a distance.

Every candidate earns a bonus: `keyword_weight` times the share of the query's words that its text has, words weighted
by how few candidates have them and by the boost of the field they stand in; and `feedback_weight` times what earlier
judgements of this very query text say of it. The bonus is taken off its distance, in units of the spread between the
nearest and the farthest candidate: a bonus of 1 carries the farthest one to where the nearest is. Lower is better
before and after, under every metric.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from vectrograph.domain.cancellation import Cancellation, never_cancelled
from vectrograph.domain.errors import InvalidArgument
from vectrograph.domain.points import Point
from vectrograph.domain.queries import Hit

# Weight of words and of feedback when a request names neither, beside a similarity that counts 1. Chosen, not
# measured: they decide between hits that are about as near.
DEFAULT_WEIGHT: Final = 0.3
# Hits searched for each that is returned. Chosen: hits below the first k can still move up.
CANDIDATES_PER_HIT: Final = 4
# Largest weight. Generous: at 100, the similarity counts a hundredth.
MAX_WEIGHT: Final = 100.0
MAX_QUERY_WORDS: Final = 256
"""Distinct words: each is looked for in every candidate. A question has ten, a page some two hundred."""
MAX_BOOSTED_FIELDS: Final = 64
"""Fields that are looked through in every candidate: as many as a filter may name paths."""
# Middle of the relevance scale 1 to 5 of the official API: moves a hit neither up nor down.
_NEUTRAL_RELEVANCE: Final = 3
# Scores are 32-bit floats on the wire.
_LARGEST: Final = 3.4028234663852886e38
# Two imagined neutral judgements, so that one click does not outweigh a hundred readers.
_PRIOR: Final = 2
_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerank:
    """Options of reranking.

    Attributes:
        query: the text whose words count.
        keyword_weight: the bonus of a point that has all of them.
        feedback_weight: the bonus, or malus, of a point of which all feedback speaks best, or worst.
        field_boosts: payload keys to look through, and how much a word counts there; empty means the text and every
            string of the payload, alike.
        candidates: how many of the nearest points are ranked; 0 means four times as many as are returned.
    """

    query: str
    keyword_weight: float = 0.0
    feedback_weight: float = 0.0
    field_boosts: Mapping[str, float] = field(default_factory=dict)
    candidates: int = 0

    @property
    def weights(self) -> tuple[float, float]:
        """Keyword and feedback weight as they count: both 0 means 0.3 each.

        >>> Rerank(query="q").weights, Rerank(query="q", keyword_weight=1.0).weights
        ((0.3, 0.3), (1.0, 0.0))
        """
        if not self.keyword_weight and not self.feedback_weight:
            return DEFAULT_WEIGHT, DEFAULT_WEIGHT
        return self.keyword_weight, self.feedback_weight


def validate_rerank(rerank: Rerank) -> None:
    """Accept what can be ranked by.

    Raises:
        InvalidArgument: there is no query text, there are too many words or boosts, or a weight or boost is negative,
            not finite or over 100.
    """
    words = _words(rerank.query)
    if not words:
        raise InvalidArgument.of("query", "must contain words to rerank by", "string_too_short")
    counted = (
        ("query", len(words), MAX_QUERY_WORDS, "words"),
        ("rerank.field_boosts", len(rerank.field_boosts), MAX_BOOSTED_FIELDS, "fields"),
    )
    for name, count, most, unit in counted:
        if count > most:
            raise InvalidArgument.of(name, f"has {count} {unit} to rerank by and may have {most}", "too_long")
    numbers = {
        "rerank.keyword_weight": rerank.keyword_weight,
        "rerank.feedback_weight": rerank.feedback_weight,
        **{f"rerank.field_boosts[{name!r}]": boost for name, boost in rerank.field_boosts.items()},
    }
    for name, number in numbers.items():
        if not 0 <= number <= MAX_WEIGHT:
            raise InvalidArgument.of(name, f"is {number:g} and must be from 0 to {MAX_WEIGHT:g}", "out_of_range")


def reranked(
    hits: Sequence[Hit],
    rerank: Rerank,
    judgements: Iterable[tuple[str, int]],
    check_cancelled: Cancellation = never_cancelled,
) -> list[Hit]:
    """Return all hits in their new order, the new score ascending, equal ones as they were; each keeps its distance.

    Args:
        hits: candidates with payload and text, closest first.
        rerank: how.
        judgements: id of a point and relevance score, 1 to 5.
        check_cancelled: called for each hit; may raise to stop.
    """
    if not hits:
        return []
    keyword_weight, feedback_weight = rerank.weights
    keywords = _keyword_shares([hit.point for hit in hits], rerank, check_cancelled)
    opinions = feedback_shares(judgements)
    spread = (hits[-1].score - hits[0].score) or 1.0
    moved = []
    for hit, share in zip(hits, keywords, strict=True):
        bonus = keyword_weight * share + feedback_weight * opinions.get(hit.point.id, 0.0)
        moved.append(Hit(hit.point, min(max(hit.score - spread * bonus, -_LARGEST), _LARGEST), hit.score))
    return sorted(moved, key=lambda hit: hit.score)


def feedback_shares(judgements: Iterable[tuple[str, int]]) -> dict[str, float]:
    """Return the feedback for each point, between -1 and 1: the mean, with two neutral judgements added.

    >>> feedback_shares([("a", 5), ("a", 5), ("b", 1), ("c", 3)])
    {'a': 0.5, 'b': -0.3333333333333333, 'c': 0.0}
    """
    sums: dict[str, tuple[float, int]] = {}
    for result, relevance in judgements:
        total, count = sums.get(result, (0.0, 0))
        sums[result] = total + (relevance - _NEUTRAL_RELEVANCE) / 2, count + 1
    return {result: total / (count + _PRIOR) for result, (total, count) in sums.items()}


def _keyword_shares(points: Sequence[Point], rerank: Rerank, check_cancelled: Cancellation) -> list[float]:
    """For each point the share of the query that it holds, 0 to 1; words that no candidate has do not count."""
    found, wanted = [], _words(rerank.query)
    for point in points:
        check_cancelled()
        boosts = _boosts_of_words(point, rerank.field_boosts)
        found.append({word: boosts[word] for word in wanted & boosts.keys()})
    having = {word: sum(word in boosts for boosts in found) for word in sorted(wanted)}
    weights = {word: rarity(number, len(points)) for word, number in having.items() if number}
    most = sum(weights.values()) * max(rerank.field_boosts.values(), default=1.0)
    if not most:
        return [0.0] * len(points)
    return [sum(weights[word] * boosts.get(word, 0.0) for word in weights) / most for boosts in found]


def rarity(having: int, among: int) -> float:
    """Return how much a word tells that `having` of `among` points have: the inverse document frequency of Okapi BM25,
    kept positive (S. Robertson, H. Zaragoza, The Probabilistic Relevance Framework, 2009, section 3.1).

    >>> rarity(1, 10) > rarity(9, 10) > 0
    True
    """
    return math.log(1 + (among - having + 0.5) / (having + 0.5))


def _boosts_of_words(point: Point, field_boosts: Mapping[str, float]) -> dict[str, float]:
    """Return each word of a point, with the boost of the best field that it stands in."""
    payload = point.payload or {}
    if field_boosts:
        texts = [(payload.get(name), boost) for name, boost in field_boosts.items()]
    else:
        texts = [(value, 1.0) for value in (point.text, *payload.values())]
    boosts: dict[str, float] = {}
    for text, boost in texts:
        if isinstance(text, str):
            for word in _words(text):
                boosts[word] = max(boost, boosts.get(word, 0.0))
    return boosts


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))
