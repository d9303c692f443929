"""Maintenance of collections: what each task does, and what it tells."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from vectrograph.domain.capabilities import MaintenanceReport, MaintenanceTask
from vectrograph.domain.errors import CollectionQuarantined, DomainError
from vectrograph.engines.embedded.collection.collection import Collection
from vectrograph.engines.embedded.collection.verify import verify, verify_derived
from vectrograph.engines.embedded.disk.ballast import Ballast

Finding: TypeAlias = tuple[bool, Any]
"""Result of a task for one collection: True when nothing is wrong, and details."""


def maintain(
    task: MaintenanceTask,
    run: Callable[[Collection], Finding],
    collections: Sequence[Collection],
    space: Ballast | None,
) -> MaintenanceReport:
    """Run one task on some collections; of damaged ones the details say what is wrong.

    Args:
        task: which one.
        run: does it to one collection.
        collections: on which.
        space: where room can be had when the disk is full; None when the task needs none.
    """
    results: dict[str, Finding] = {}
    for collection in collections:
        try:
            finding = space.freeing(lambda: run(collection)) if space is not None else run(collection)  # noqa: B023
        except CollectionQuarantined as error:
            finding = False, error.problem or error.message
        except DomainError as error:
            finding = False, error.message
        results[str(collection.spec.ref)] = finding
    details = {name: detail for name, (_, detail) in results.items()}
    return MaintenanceReport(task=task, healthy=all(good for good, _ in results.values()), details=details)


def fold(collection: Collection) -> Finding:
    """Fold the whole log of a collection into its file and empty it."""
    with collection.writing() as content:
        done = content.store.checkpoint()
    return done, "the log is folded into the file" if done else "readers were in the way; try again"


def _verify(collection: Collection) -> Finding:
    checked = f"{verify(collection)} points are as they were written"
    problems = []
    if not collection.record_holds():
        problems.append("the record of the last commit is damaged, repair writes it anew")
    if problem := verify_derived(collection.files):
        problems.append(f"the files of the index are damaged, repair builds them anew: {problem}")
    return not problems, "; ".join([checked, *problems])


def _flush(collection: Collection) -> Finding:
    problem = collection.upkeep.flush(collection.view, lambda: None)
    return problem is None, problem or "every row is in the index"


TASKS: Final[Mapping[MaintenanceTask, Callable[[Collection], Finding]]] = {
    MaintenanceTask.CHECKPOINT: fold,
    MaintenanceTask.FLUSH: _flush,
    MaintenanceTask.VERIFY: _verify,
}
"""By task: what it does to one collection; what needs more than that one is the engine's."""
