"""A program that uses `running` sees no lines of the libraries inside it, unless it asks (FINDINGS D10)."""

import subprocess
import sys

PROGRAM = """
import logging
logging.basicConfig(level=logging.INFO)
from vectrograph import running
with running({settings}) as server, server.neurograph() as neurograph, server.vectron() as vectron:
    neurograph.tokens.create(text="hello")
    vectron.list_collections()
"""


def _said(settings: str, *options: str) -> str:
    command = [sys.executable, *options, "-c", PROGRAM.format(settings=settings)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_nothing_is_logged_by_default_in_a_program_that_logs_at_info() -> None:
    assert _said("") == ""


def test_nothing_is_left_open_for_the_interpreter_to_complain_about() -> None:
    lines = _said("", "-X", "dev", "-W", "always::ResourceWarning").splitlines()
    assert [line for line in lines if "ResourceWarning" in line] == []


def test_the_level_that_is_asked_for_is_the_level_that_is_logged() -> None:
    said = _said('log_level="debug"')
    assert "DEBUG:vectrograph:" in said
    assert "httpx" not in said
    assert "alembic" not in said
