"""Closing, and what maintenance there is."""

# ruff: noqa: S101

import pytest

from vectrograph.domain.capabilities import MaintenanceTask
from vectrograph.domain.collections import CollectionRef, CollectionSpec, Distance
from vectrograph.domain.errors import InvalidArgument, Unavailable
from vectrograph.engines.base import Engine
from vectrograph.engines.contract.collections import VERBS
from vectrograph.engines.contract.subject import TENANT, Subject, found, put


class LifecycleContract(Subject):
    """The beginning is a fixture; this is the end."""

    def test_it_is_an_engine(self, engine: Engine) -> None:
        """All verbs are there, and nothing has been made yet."""
        assert isinstance(engine, Engine)
        assert engine.list(TENANT) == []
        assert engine.capabilities == engine.capabilities

    @pytest.mark.parametrize("verb", VERBS)
    def test_a_closed_engine_is_unavailable(self, engine: Engine, docs: CollectionRef, verb: str) -> None:
        """Every verb says so; closing twice is fine."""
        put(engine, docs, "a")
        engine.close()
        engine.close()
        with pytest.raises(Unavailable, match="closed"):
            VERBS[verb](engine, docs)
        with pytest.raises(Unavailable, match="closed"):
            engine.list(TENANT)
        with pytest.raises(Unavailable, match="closed"):
            engine.create(CollectionSpec.dense(CollectionRef(TENANT, "new"), 2, Distance.DOT))

    @pytest.mark.parametrize("task", list(MaintenanceTask))
    def test_maintenance_changes_no_answer(self, engine: Engine, docs: CollectionRef, task: MaintenanceTask) -> None:
        """Maintenance tasks: those offered report health and leave the data alone, others are refused."""
        put(engine, docs, "a", payload={"k": 1})
        if task not in engine.capabilities.maintenance:
            with pytest.raises(InvalidArgument, match="task"):
                engine.maintain(task)
            return
        for scope in (None, docs):
            report = engine.maintain(task, scope)
            assert (report.task, report.healthy) == (task, True)
        assert found(engine, docs, (0, 0)) == ["a"]
        put(engine, docs, "b")
        assert engine.count(docs) == 2
