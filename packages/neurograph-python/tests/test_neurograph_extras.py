"""Missing optional packages: everything works, except what needs them, which says so."""

import subprocess
import sys

import pytest
from scripted_server import Reply, ScriptedServer, token_body


def python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60)


def without(*packages: str) -> str:
    """Return the beginning of a program that cannot import these packages."""
    return f"import sys; sys.modules.update(dict.fromkeys({packages!r}))\n"


def test_the_client_needs_none_of_them() -> None:
    with ScriptedServer() as server:
        server.on("GET", "/api/v1/tokens/7", Reply(body=token_body()))
        program = without("opentelemetry", "prometheus_client", "rich", "typer", "numpy", "websockets") + (
            "from neurograph import NeuroGraphClient\n"
            f"with NeuroGraphClient({server.url!r}, api_key='k') as client:\n"
            "    print(client.tokens.get(7).embedding, client.metrics.snapshot().requests)\n"
        )
        done = python(program)
    assert (done.stdout, done.stderr) == ("[0.5, -1.0] 1\n", "")


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [("tracing", "opentelemetry", "opentelemetry"), ("prometheus", "prometheus_client", "prometheus")],
)
def test_what_needs_one_says_how_to_get_it(module: str, package: str, extra: str) -> None:
    done = python(without(package) + f"import neurograph.{module}")
    assert done.returncode == 1
    assert f"ImportError: neurograph.{module} needs" in done.stderr
    assert f"pip install 'neurograph-python[{extra}]'" in done.stderr


def test_a_websocket_says_how_to_get_it() -> None:
    done = python(
        without("websockets") + "from neurograph import NeuroGraphClient\n"
        "with NeuroGraphClient('http://localhost:1', api_key='k') as client:\n"
        "    client.events.subscribe('tokens', transport='websocket')\n"
    )
    assert done.returncode == 1
    assert "ConfigurationError: " in done.stderr
    assert 'pip install "neurograph-python[websocket]"' in done.stderr


def test_nothing_imports_them_unasked() -> None:
    names = "{'opentelemetry', 'prometheus_client', 'rich', 'typer', 'numpy', 'websockets'}"
    done = python(f"import sys; from neurograph import *; print({names} & set(sys.modules))")
    assert done.stdout == "set()\n"
