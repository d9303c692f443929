"""Leftovers of a killed process besides its data."""

import json
import os
import subprocess
import sys
from pathlib import Path

from vectrograph.engines.embedded import EmbeddedEngine


def test_a_killed_holder_frees_the_directory(tmp_path: Path) -> None:
    EmbeddedEngine.open(tmp_path / "data").close()
    code = (
        "import sys, time; from vectrograph.engines.embedded import EmbeddedEngine;"
        f"engine = EmbeddedEngine.open({str(tmp_path / 'data')!r}); print('open', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"open\n"
    child.kill()
    child.wait()
    child.stdout.close()
    engine = EmbeddedEngine.open(tmp_path / "data")
    assert json.loads((tmp_path / "data" / "LOCK").read_text())["pid"] == os.getpid()
    engine.close()
