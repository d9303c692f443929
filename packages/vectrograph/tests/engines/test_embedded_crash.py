"""What a killed process leaves besides its data, of which `torture` speaks."""

import subprocess
import sys
import time
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
    started = time.monotonic()
    EmbeddedEngine.open(tmp_path / "data").close()
    assert time.monotonic() - started < 5.0
