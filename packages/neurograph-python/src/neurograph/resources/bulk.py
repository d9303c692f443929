# Generated from async_bulk.py by tools/unasync.py; do not edit.
"""Creating many tokens; synchronous."""

import os
from typing import TYPE_CHECKING, Literal

from neurograph._wirekit import values
from neurograph.calls import NewToken
from neurograph.concurrency import Items
from neurograph.encoding import checked
from neurograph.exceptions import ValidationError
from neurograph.executor import Executor
from neurograph.unset import UNSET, Timeout

if TYPE_CHECKING:
    from neurograph.bulk import BulkResult
    from neurograph.progress import Progress


class BulkCreate:
    """The part of `tokens` that creates many."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def create_many(
        self,
        items: Items[NewToken],
        *,
        on_error: Literal["raise", "collect"] = "raise",
        progress: "Progress" = None,
        max_in_flight: int = 1,
        keep_tokens: bool = True,
        journal: str | os.PathLike[str] | None = None,
        timeout: Timeout = UNSET,
    ) -> "BulkResult":
        """Creates many tokens in few requests.

        The items are read as they are needed and sent in batches, cut by count, by bytes and by the limits of
        the server, and halved when it finds one too large. Each batch is written completely or not at all, and
        once, however often it has to be sent.

        Args:
            items: texts, dictionaries with `text` and optionally `metadata` and `embedding`, or TokenCreate
                models; any iterable, also an endless file. The synchronous client takes synchronous ones too.
            on_error: `raise` stops at the first error; `collect` goes on without the items at fault and returns
                them in `failed`. Refused credentials always stop.
            progress: a function of the items done and the items in all (None when unknown), or True for a bar
                on the terminal (needs rich).
            max_in_flight: requests under way at once. The synchronous client starts no threads and always has
                one.
            keep_tokens: False keeps only the ids of what was created, so that memory stays bounded.
            journal: path of a file that remembers what was sent. The same call with the same items and the same
                journal goes on where an earlier one ended, within a day also when its process was killed in the middle
                of a request; every item is created exactly once.
            timeout: seconds for each batch, its repeats included; else the client's.

        Returns:
            The tokens in the order of the items: a list that also knows `failed`, `failed_items` (to be passed
            again) and `created_ids`.

        Raises:
            ValidationError: an item is wrong; its batch was not written. `details["created_ids"]` of
                this and any other error lists the tokens created before it. Or the journal was begun with other items.
            ConfigurationError: the journal is in use, or cannot be used.

        >>> result = client.tokens.create_many(["one", "", "three"], on_error="collect")
        >>> [token.text for token in result], [failure.index for failure in result.failed]
        (['one', 'three'], [1])
        """
        max_in_flight = checked(values.whole, max_in_flight, "max_in_flight", 1)
        if on_error not in ("raise", "collect"):
            raise ValidationError.of("on_error", "must be 'raise' or 'collect'")
        # Most programs never get here, and whoever does has time: what a load needs is imported now.
        from neurograph.resources.load import load

        return load(
            self._executor,
            items,
            collect=on_error == "collect",
            progress=progress,
            max_in_flight=max_in_flight,
            keep=keep_tokens,
            journal=journal,
            timeout=timeout,
        )
