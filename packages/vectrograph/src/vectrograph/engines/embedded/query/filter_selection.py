"""Selection of the points of a collection that match a filter, in one state of it."""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import apsw

from vectrograph.domain.cancellation import Cancellation
from vectrograph.domain.filters.evaluation import Filter
from vectrograph.engines.embedded.collection.collection import Collection
from vectrograph.engines.embedded.columns.store import Selection
from vectrograph.engines.embedded.rows.view import View


def known_selection(
    collection: Collection, condition: Filter, check_cancelled: Cancellation
) -> tuple[View, Selection | None]:
    """Return the View published last, and which of its rows match, None when that must be read first."""
    view = collection.view()
    return view, collection.columns.ready(condition, view, check_cancelled)


@contextmanager
def selecting(
    collection: Collection, condition: Filter, check_cancelled: Cancellation
) -> Iterator[tuple[apsw.Connection, View, Selection]]:
    """Provide a snapshot, and the rows of its View that match.

    Args:
        collection: where to look.
        condition: what is asked.
        check_cancelled: called while waiting, and between chunks of work; may raise to stop.
    """
    columns = collection.columns
    with ExitStack() as stack:
        connection, view = stack.enter_context(collection.snapshot(check_cancelled))
        selection = columns.ready(condition, view, check_cancelled)
        while selection is None:
            stack.close()
            collection.placement.before_native_work(math.inf)
            # The turn first, then the snapshot: what is taken later is never older than the columns.
            with columns.updating(check_cancelled):
                connection, view = stack.enter_context(collection.snapshot(check_cancelled))
                table = columns.prepare(connection, view, condition, check_cancelled)
            if table is not None:
                selection = columns.answer(connection, view, condition, table, check_cancelled)
        yield connection, view, selection
