"""The conformance suite: what every engine must do, as test classes to inherit from.

An engine runs the suite from a test module of its own::

    from vectrograph.engines.contract import EngineContract, engine_machine

    class TestMine(EngineContract):
        @pytest.fixture
        def engine(self, tmp_path):
            engine = MyEngine(tmp_path)
            yield engine
            engine.close()

    TestMineBehavesLikeTheReference = engine_machine(MyEngine.in_temporary_directory).TestCase

Only `Capabilities` is asked what may differ. An adapter that carries a part of the verbs inherits from the parts it
carries (`CollectionContract`, `WriteContract`, …). Needs pytest and hypothesis.
"""

import pytest

pytest.register_assert_rewrite(
    *(
        f"{__name__}.{part}"
        for part in (
            "bad_input",
            "collections",
            "durability",
            "filtering",
            "lifecycle",
            "log",
            "machine",
            "preconditions",
            "retention",
            "scrolling",
            "searching",
            "subject",
            "writing",
        )
    )
)

from vectrograph.engines.contract.bad_input import BadInputContract  # noqa: E402 - after the rewriting is registered
from vectrograph.engines.contract.collections import CollectionContract  # noqa: E402
from vectrograph.engines.contract.durability import DurabilityContract  # noqa: E402
from vectrograph.engines.contract.filtering import FilterContract  # noqa: E402
from vectrograph.engines.contract.lifecycle import LifecycleContract  # noqa: E402
from vectrograph.engines.contract.log import ChangeLogContract, IdempotencyContract  # noqa: E402
from vectrograph.engines.contract.machine import engine_machine  # noqa: E402
from vectrograph.engines.contract.preconditions import PreconditionContract  # noqa: E402
from vectrograph.engines.contract.retention import LogRetentionContract  # noqa: E402
from vectrograph.engines.contract.scrolling import ScrollContract  # noqa: E402
from vectrograph.engines.contract.searching import SearchContract  # noqa: E402
from vectrograph.engines.contract.writing import SerialContract, WriteContract  # noqa: E402

__all__ = [
    "BadInputContract",
    "ChangeLogContract",
    "CollectionContract",
    "DurabilityContract",
    "EngineContract",
    "FilterContract",
    "IdempotencyContract",
    "LifecycleContract",
    "LogRetentionContract",
    "PreconditionContract",
    "ScrollContract",
    "SearchContract",
    "SerialContract",
    "WriteContract",
    "engine_machine",
]


class EngineContract(
    BadInputContract,
    ChangeLogContract,
    CollectionContract,
    FilterContract,
    IdempotencyContract,
    LifecycleContract,
    PreconditionContract,
    ScrollContract,
    SearchContract,
    SerialContract,
    WriteContract,
):
    """Everything that can be asked of one open engine.

    `DurabilityContract` asks the rest of engines that are reopened, `LogRetentionContract` of those with a bounded log.
    """
