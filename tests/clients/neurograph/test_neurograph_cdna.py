"""CDNA of the mock is that of the server, and `neurograph-cli cdna` reaches all of it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import InProcess

from neurograph import CDNAConfig, CDNAUpdate, NeuroGraphClient, NeuroGraphError
from neurograph.cli._exits import ExitCode
from neurograph.testing import MockNeuroGraphClient
from vectrograph import RunningServer, running

ADMIN = {"NEUROGRAPH_USERNAME": "admin", "NEUROGRAPH_PASSWORD": "admin123"}
STEPS: list[Callable[[NeuroGraphClient], Any]] = [
    lambda c: c.cdna.status(),
    lambda c: c.cdna.profiles(),
    lambda c: c.cdna.profile("quarantine"),
    lambda c: c.cdna.profile("conservative"),
    lambda c: c.cdna.configure(CDNAConfig(profile="creative", novelty_scale=0.5)),
    lambda c: c.cdna.configure(CDNAConfig(profile="conservative")),
    lambda c: c.cdna.update(CDNAUpdate(curiosity_scale=1.5, affinity_scale=0.03)),
    lambda c: c.cdna.update(CDNAUpdate(curiosity_scale=4)),
    lambda c: c.cdna.update(CDNAUpdate(curiosity_scale=-1)),
    lambda c: c.cdna.set_scales([1, 2, 3, 4, 25, 6, 7, 8]),
    lambda c: c.cdna.set_scales([1, 2, 3]),
    lambda c: c.cdna.switch("quarantine"),
    lambda c: c.cdna.set_scales([1.5, 1, 1, 1, 2, 1.5, 1, 3]),
    lambda c: c.cdna.set_scales([1.6, 1, 1, 1, 2, 1.5, 1, 3]),
    lambda c: c.cdna.switch("explorer"),
    lambda c: c.cdna.validate([1] * 8),
    lambda c: c.cdna.validate([0.05, 1, 1, 1, 1, 1, 1, 40]),
    lambda c: c.cdna.validate([0, 21, 1, 1, 1, 1, 1, 1]),
    lambda c: c.cdna.validate([]),
    lambda c: c.cdna.stop_quarantine(),
    lambda c: c.cdna.start_quarantine(29),
    lambda c: c.cdna.start_quarantine(3600),
    lambda c: c.cdna.start_quarantine(),
    lambda c: c.cdna.switch("creative"),
    lambda c: c.cdna.reset(),
    lambda c: c.cdna.configure(CDNAConfig(profile="creative")),
    lambda c: c.cdna.set_scales([1.5, 1.5, 1.2, 2, 3, 2.5, 2, 5.5]),
    lambda c: c.cdna.set_scales([1.5, 1.5, 1.2, 2, 3, 2.5, 2, 6]),
    lambda c: c.cdna.quarantine(),
    lambda c: c.cdna.stop_quarantine(),
    lambda c: c.cdna.status(),
    lambda c: c.cdna.start_quarantine(30),
    lambda c: c.cdna.update(CDNAUpdate(curiosity_scale=1.1)),
    lambda c: c.cdna.stop_quarantine(apply=True),
    lambda c: c.cdna.status(),
    lambda c: c.cdna.history(3).history[-1].action,
    lambda c: c.cdna.reset(),
    lambda c: c.cdna.history(100).history[0].action,
]
# Of the moment, or of the server alone.
UNLIKE = {"timestamp", "changed_at", "started_at", "ends_at", "metrics", "description", "message", "history_count"}


def outcome(step: Callable[[NeuroGraphClient], Any], client: NeuroGraphClient) -> Any:
    try:
        answer = step(client)
    except NeuroGraphError as error:
        return type(error).__name__
    return _comparable(answer.model_dump()) if hasattr(answer, "model_dump") else answer


def _comparable(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _comparable(inner) for name, inner in value.items() if name not in UNLIKE}
    return value


def test_the_mock_answers_as_the_server_does() -> None:
    with running() as server, server.neurograph(username="admin", password="admin123") as client:
        mock = MockNeuroGraphClient()
        for number, step in enumerate(STEPS):
            assert outcome(step, mock) == outcome(step, client), number


def distances(client: NeuroGraphClient) -> list[list[float]]:
    """Return distances of two neighbours across all levels, for several configurations."""
    flat = {f"L{n}{name}": [0.0, 0.0, 0.0] for n, name in enumerate(NAMES, 1)}
    places = [flat, {**flat, "L5Cognitive": [1.0, 0.0, 0.0]}, {**flat, "L8Abstract": [1.0, 0.0, 0.0]}]
    ids = [client.tokens.create("same", coordinates=place).id for place in places]
    grid = client.grid.create().grid_id
    client.grid.add_many(grid, ids)
    found = []
    for config in (
        CDNAConfig(),
        CDNAConfig(curiosity_scale=0.5),
        CDNAConfig(novelty_scale=2.0),
        CDNAConfig(profile="analyzer"),
    ):
        client.cdna.configure(config)
        near = client.grid.neighbors(grid, ids[0], space="all", radius=100.0)
        found.append([neighbor.distance for neighbor in sorted(near, key=lambda one: one.token_id)])
    return found


NAMES = ("Physical", "Sensory", "Motor", "Emotional", "Cognitive", "Social", "Temporal", "Abstract")


def test_setting_a_field_changes_distances_in_a_grid_of_the_server_and_of_the_mock() -> None:
    wanted = [[3.0, 5.0], [1.5, 5.0], [3.0, 10.0], [10.0, 20.0]]
    assert distances(MockNeuroGraphClient()) == wanted
    with running() as server, server.neurograph() as client:
        assert distances(client) == wanted


def test_a_quarantine_of_the_mock_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    mock = MockNeuroGraphClient()
    mock.cdna.start_quarantine(30)
    mock.cdna.update(CDNAUpdate(curiosity_scale=1.1))
    now = mock.memory._cdna._before
    assert now is not None
    monkeypatch.setattr("neurograph._mock_cdna.time.monotonic", lambda: now[2])
    assert mock.cdna.quarantine().active is False
    assert mock.cdna.status().cdna.curiosity_scale == 1.0
    assert mock.cdna.history(1).history[0].action == "quarantine_expired"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running() as started:
        yield started


def test_the_command_line(server: RunningServer, tmp_path: Path) -> None:
    cli = InProcess(server.http_url, tmp_path)
    assert cli("cdna", "status").json["quarantine"]["active"] is False
    configured = cli("cdna", "configure", "--profile", "explorer", "--curiosity", "2").json
    assert configured["dimension_scales"] == [1.0, 3.0, 1.2, 2.0, 6.0, 2.5, 2.0, 5.0]
    assert cli("cdna", "configure", "--novelty", "0.5", "--affinity", "2").json["curiosity_scale"] == 2.0
    assert cli("cdna", "configure").code == ExitCode.REFUSED
    assert cli("cdna", "set", json.dumps([1.0] * 8)).json["modified"] is True
    assert cli("cdna", "set", "-", stdin=json.dumps([2.0] * 8)).json["dimension_scales"] == [2.0] * 8
    assert cli("cdna", "set", "[30, 1, 1, 1, 1, 1, 1, 1]").code == ExitCode.REFUSED
    assert cli("cdna", "set", "many").code == ExitCode.USAGE
    assert [row["id"] for row in cli("cdna", "profiles").lines if row["current"]] == ["explorer"]
    assert cli("cdna", "profile", "analyzer").json["scales"][7] == 20.0
    assert cli("cdna", "profile", "none").code == ExitCode.NOT_FOUND
    assert cli("cdna", "switch", "creative").json["old_profile"] == "explorer"
    assert cli("cdna", "validate", json.dumps([1.0] * 8)).json["valid"] is True
    refused = cli("cdna", "validate", "[]")
    assert (refused.code, refused.json["valid"]) == (ExitCode.REFUSED, False)
    assert cli("cdna", "quarantine", "start", "--duration", "60").json["time_left"] == 60
    assert cli("cdna", "quarantine", "start").code == ExitCode.CONFLICT
    assert cli("cdna", "quarantine", "status").json["active"] is True
    assert cli("cdna", "quarantine", "stop", "--apply").json == {"applied": True}
    assert cli("cdna", "quarantine", "start").code == 0
    assert cli("cdna", "quarantine", "stop", "--output", "table").out == "state from before restored\n"
    rows = cli("cdna", "history", "--limit", "3").lines
    assert [row["action"] for row in rows] == ["quarantine_stop", "quarantine_start", "quarantine_applied"]
    assert "quarantine_stop" in cli("cdna", "history", "--output", "table").out
    assert cli("cdna", "export").json["cdna"]["profile"] == "creative"
    assert cli("cdna", "reset").code == ExitCode.NOT_ALLOWED
    assert cli("cdna", "reset", environ=ADMIN).json["profile"] == "explorer"
