# Generated from async_pages.py by tools/unasync.py; do not edit.
"""Pages that know how to fetch the next one; synchronous."""

import copy
from collections.abc import Sequence
from typing import Any

from neurograph import token_calls
from neurograph.executor import Executor
from neurograph.filters import FilterLike
from neurograph.models import TokenPage
from neurograph.unset import UNSET, Timeout


class LinkedTokenPage(TokenPage):
    """A page of tokens: a plain list that knows its `total`, whether it `has_more`, and its next page.

    A copy knows its next page too. Pickled, it becomes a TokenPage, which has no connection to fetch anything with.
    """

    def __init__(
        self, page: TokenPage, executor: Executor, filter: FilterLike | None, include: Sequence[str] | None
    ) -> None:
        super().__init__(page, total=page.total, limit=page.limit, offset=page.offset)
        self._executor = executor
        self._filter = filter
        self._include = include

    def __copy__(self) -> "LinkedTokenPage":
        return LinkedTokenPage(self, self._executor, self._filter, self._include)

    def __deepcopy__(self, memo: dict[int, Any]) -> "LinkedTokenPage":
        tokens = TokenPage(copy.deepcopy(list(self), memo), total=self.total, limit=self.limit, offset=self.offset)
        return LinkedTokenPage(tokens, self._executor, self._filter, self._include)

    def next_page(self, *, timeout: Timeout = UNSET) -> "LinkedTokenPage":
        """Reads the tokens after this page; an empty page at the end.

        Tokens deleted meanwhile move the rest up, so that some may be missed; `tokens.iterate` misses none.

        Args:
            timeout: seconds for this call; else the client's.

        Raises:
            NeuroGraphError: as in `tokens.list`.

        >>> made = client.tokens.create_many(["one", "two", "three"])
        >>> page = client.tokens.list(limit=2)
        >>> page = page.next_page()
        >>> [token.text for token in page], page.has_more
        (['three'], False)
        """
        offset = self.offset + len(self)
        call = token_calls.list_tokens(self.limit, offset, self._filter, self._include)
        return LinkedTokenPage(self._executor.run(call, timeout), self._executor, self._filter, self._include)
