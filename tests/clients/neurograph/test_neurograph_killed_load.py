"""A bulk load whose process is killed in the middle of a request goes on in another one: each item exactly once."""

import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_proxy import FaultyProxy

from vectrograph import RunningServer, running

PROGRAM = textwrap.dedent("""
    import array, sys
    from neurograph import NeuroGraphClient
    from neurograph._protocol import operations

    url, key, journal, packed = sys.argv[1:]
    operations.MAX_BATCH_COUNT = 5

    def items():
        for n in range(23):
            vector = [float(n + 1)] * 256
            yield {"text": f"item {n}", "embedding": array.array("f", vector) if packed == "packed" else vector}

    with NeuroGraphClient(url, api_key=key) as client:
        result = client.tokens.create_many(items(), journal=journal, keep_tokens=False)
    print(result.resumed, len(result.created_ids), len(set(result.created_ids)))
""")


@pytest.fixture
def house() -> Iterator[RunningServer]:
    with running() as server:
        yield server


def load(url: str, key: str, journal: Path, kind: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-W", "error", "-c", PROGRAM, url, key, str(journal), kind]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("kind", ["packed", "list"])
def test_it_goes_on_where_it_was_killed(house: RunningServer, tmp_path: Path, kind: str) -> None:
    journal = tmp_path / "load.journal"
    with FaultyProxy(house.http_url, b"POST /api/v1/tokens/batch") as proxy:
        proxy.faults = ["pass", "pass", "hold"]
        first = load(proxy.url, house.api_key, journal, kind)
        assert proxy.held.wait(30), first.communicate(timeout=5)  # the third batch is on the disk of the server
        first.send_signal(signal.SIGKILL)
        assert first.wait(10) == -signal.SIGKILL
        first.communicate(timeout=5)
    with house.neurograph() as client:
        assert client.tokens.list(limit=1).total == 15
        second = load(house.http_url, house.api_key, journal, kind)
        output, errors = second.communicate(timeout=30)
        assert "belongs to a load into" in errors  # the journal is that of the other address
        assert output == ""
        text = journal.read_text().replace(proxy.url, house.http_url)
        journal.write_text(text)
        third = load(house.http_url, house.api_key, journal, kind)
        output, errors = third.communicate(timeout=30)
        assert (output.split(), errors) == (["10", "23", "23"], "")
        texts = [token.text for token in client.tokens.iterate()]
    assert sorted(texts, key=lambda text: int(str(text).split()[1])) == [f"item {n}" for n in range(23)]
