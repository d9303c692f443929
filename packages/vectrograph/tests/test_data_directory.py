"""The data directory as operators and other processes meet it: where it is, who may read it, what can be in the way."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import vectrograph
from vectrograph.app import Server
from vectrograph.cli import app
from vectrograph.control.store import ControlStore
from vectrograph.domain.capabilities import Capabilities, MaintenanceTask
from vectrograph.domain.collections import CollectionRef, CollectionSpec, Distance
from vectrograph.domain.errors import InvalidToken, StartupError
from vectrograph.domain.points import Put
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.inprocess import running
from vectrograph.settings import Settings

pytestmark = pytest.mark.slow

DOCS = CollectionRef("default", "docs")
NOBODY = 65534


def fill(engine: EmbeddedEngine) -> None:
    engine.create(CollectionSpec.dense(DOCS, 2, Distance.EUCLIDEAN))
    engine.write(DOCS, [Put(id=f"{n}", vector=np.array([n, 1], np.float32), payload={"n": n}) for n in range(50)])


def opened(directory: Path | str) -> EmbeddedEngine:
    return EmbeddedEngine.open(directory, ballast_bytes=1 << 16)


@pytest.fixture
def umask_of_nobody() -> Iterator[None]:
    """Leave out a umask every file is as open as the code asks for."""
    before = os.umask(0)
    yield
    os.umask(before)


# ------------------------------------------------------------ FINDINGS C3: where it is


def test_an_engine_stays_where_it_was_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FINDINGS C3."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with closing(opened("data")) as engine:
        monkeypatch.chdir(tmp_path / "elsewhere")
        fill(engine)
        engine.maintain(MaintenanceTask.FLUSH)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    with closing(opened(tmp_path / "data")) as engine:
        assert engine.count(DOCS) == 50


def test_a_server_stays_where_it_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FINDINGS C3, with the accounts, whose connections are made later."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with running("data", control_url="sqlite:///accounts.sqlite") as server:
        monkeypatch.chdir(tmp_path / "elsewhere")
        engine = server.server.engine
        engine.create(CollectionSpec.dense(DOCS, 2, Distance.EUCLIDEAN))
        with server.neurograph() as client:
            client.tokens.create(text="hello world")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    with closing(opened(tmp_path / "data")) as engine:
        assert {info.spec.ref.name for info in engine.list("default")} >= {"docs"}


def test_every_path_among_the_settings_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FINDINGS C3."""
    monkeypatch.chdir(tmp_path)
    names = [name for name, info in Settings.model_fields.items() if "Path" in str(info.annotation)]
    assert {"data", "tls_cert"} <= set(names)
    settings = Settings.load(**dict.fromkeys(names, Path("some/file")))
    assert {getattr(settings, name) for name in names} == {tmp_path / "some/file"}


def test_the_file_of_accounts_stays_where_it_was_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FINDINGS C3."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with closing(ControlStore.open("sqlite:///accounts.sqlite")) as store:
        store.close()
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert not store.has_users()
    assert list((tmp_path / "elsewhere").iterdir()) == []


# ------------------------------------------------------------ FINDINGS C7: what can be in the way


def _in_the_way(kind: str, tmp_path: Path) -> str:
    place = tmp_path / "place"
    match kind:
        case "a file":
            place.touch()
        case "a named pipe":
            os.mkfifo(place)
        case "inside a file":
            place.touch()
            return str(place / "data")
        case "a symbolic link to a missing target":
            place.symlink_to(tmp_path / "missing")
        case "too long":
            return str(tmp_path / ("x" * 300))
        case "empty":
            return ""
    return str(place)


IN_THE_WAY = (
    "a file",
    "a named pipe",
    "inside a file",
    "a symbolic link to a missing target",
    "too long",
    "empty",
)


@pytest.mark.parametrize("kind", IN_THE_WAY)
def test_what_is_no_directory_is_refused_in_one_sentence(tmp_path: Path, kind: str) -> None:
    """FINDINGS C7: by the engine, the server and the commands."""
    path = _in_the_way(kind, tmp_path)
    told = re.compile(rf"(?s)(?!.*Traceback).*{kind}")
    with pytest.raises(StartupError, match=told):
        opened(path)
    with pytest.raises(StartupError, match=told):
        Server.start(Settings.load(data=path, http_port=0, vectron_http_port=0, grpc_port=0))
    for arguments, code in ((["users", "list", "--data", path], 1), (["verify", path], 2)):
        if not path:
            continue  # The command line makes "." of it.
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == code, result.output
        assert isinstance(result.exception, SystemExit)
        assert told.match(result.output)
        assert result.output.count("\n") == 1


def test_a_directory_of_somebody_else(tmp_path: Path) -> None:
    """FINDINGS C7."""
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    (tmp_path / "theirs").mkdir(mode=0o700)
    for directory in (tmp_path, *tmp_path.parents[:-2]):
        directory.chmod(directory.stat().st_mode | 0o011)
    os.seteuid(NOBODY)
    try:
        with pytest.raises(StartupError, match=rf"user 0 and this process, of user {NOBODY}"):
            opened(tmp_path / "theirs")
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("setting", ["tls_cert", "tls_key", "tls_client_ca"])
@pytest.mark.parametrize("kind", ["missing", "directory", "pipe"])
def test_a_tls_file_that_cannot_be_read_is_named_by_its_setting(tmp_path: Path, setting: str, kind: str) -> None:
    """FINDINGS C7."""
    path = tmp_path / "file"
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    good = tmp_path / "good.pem"
    good.touch()
    files = {"tls_cert": good, "tls_key": good, "tls_client_ca": good, setting: path}
    with pytest.raises(StartupError, match=rf"Setting {setting}: .*{path}"):
        Server.start(Settings.load(data=tmp_path / "data", **files))


def test_a_settings_file_that_is_no_file(tmp_path: Path) -> None:
    """FINDINGS C7."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "missing"):
        with pytest.raises(StartupError, match=f"settings file {path}"):
            Settings.load(path)


_FORKING = """
import multiprocessing, os, sys
from vectrograph.domain.errors import Unavailable
from vectrograph.domain.collections import CollectionRef, CollectionSpec, Distance
from vectrograph.engines.embedded import EmbeddedEngine
from vectrograph.inprocess import _template, running
import numpy as np
from vectrograph.domain.points import Put

docs = CollectionRef("default", "docs")
engine = EmbeddedEngine.open(sys.argv[1], ballast_bytes=0)
engine.create(CollectionSpec.dense(docs, 2, Distance.EUCLIDEAN))
write = lambda name: engine.write(docs, [Put(id=name, vector=np.ones(2, np.float32))])
write("before")
template = _template.path()

def in_child(way):
    try:
        engine.count(docs)
    except Unavailable as error:
        assert "forked" in str(error)
    else:
        os._exit(9)
    engine.close()
    if way == "raise":
        raise SystemExit(0)
    if way == "_exit":
        os._exit(0)

for way in ("exit", "raise", "_exit"):
    child = os.fork()
    if child == 0:
        in_child(way)
        sys.exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert template.exists(), way
    write(way)
process = multiprocessing.get_context("fork").Process(target=in_child, args=("multiprocessing",))
process.start()
process.join(60)
assert process.exitcode == 0 and template.exists()
write("multiprocessing")
assert engine.count(docs) == 5
engine.close()
with running() as server:
    child = os.fork()
    if child == 0:
        server.server.stop()
        sys.exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with server.neurograph() as client:
        assert client.tokens.create(text="still here").id
    kept = server.server.settings.data
    assert kept.exists()
assert not kept.exists()
print("fine")
"""


def test_children_leave_alone_what_their_parent_has_open(tmp_path: Path) -> None:
    """FINDINGS C7: templates, temporary directories, engines and servers belong to the process that made them."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _FORKING, str(tmp_path / "data")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout.splitlines()[-1:] == ["fine"], done.stderr
    with closing(opened(tmp_path / "data")) as engine:
        assert engine.count(DOCS) == 5
        assert engine.maintain(MaintenanceTask.VERIFY).healthy


# ------------------------------------------------------------ FINDINGS B10: who may read it


def open_to_others(directory: Path) -> list[str]:
    paths = [directory, *directory.rglob("*")]
    return sorted(str(path.relative_to(directory)) for path in paths if path.lstat().st_mode & 0o077)


def test_nobody_else_can_read_what_an_engine_writes(tmp_path: Path, umask_of_nobody: None) -> None:
    """FINDINGS B10: with every kind of file, SQLite's own included."""
    with closing(opened(tmp_path / "data")) as engine:
        fill(engine)
        engine.maintain(MaintenanceTask.FLUSH)
        for collection in engine._catalog.all():
            collection.upkeep.save(lambda: None)
        names = {path.name for path in (tmp_path / "data").rglob("*")}
        assert {"points.sqlite-wal", "points.sqlite-shm", "last-commit", "manifest.json", "ballast"} <= names
        assert open_to_others(tmp_path / "data") == []
    file = next((tmp_path / "data").rglob("points.sqlite"))
    content = file.read_bytes()
    at = content.index(b'{"n":7}')
    file.write_bytes(content[: at + 5] + b"8" + content[at + 6 :])
    with closing(opened(tmp_path / "data")) as engine:
        assert not engine.maintain(MaintenanceTask.VERIFY).healthy
        assert not engine.maintain(MaintenanceTask.REPAIR).healthy
        assert engine.count(DOCS) == 49
        assert open_to_others(tmp_path / "data") == []


COVERED = {
    "control.sqlite": "accounts: control/",
    "control.sqlite-journal": "accounts: control/",
    "signing.key": "accounts: control/test_signing.py",
    "audit.journal": "accounts: control/",
    "audit-2.journal": "accounts: control/",
    "LOCK": "torture/damage.py",
    "ballast": "torture/damage.py",
    "vectrograph.json": "torture/damage.py",
    "collections": "torture/damage.py",
}
"""Places where the loss of each kind of file in the data directory of a server is tried."""


def test_nobody_else_can_read_what_a_server_writes(tmp_path: Path, umask_of_nobody: None) -> None:
    """FINDINGS B10, and C2: a file of a new kind needs a case of its loss."""
    with running(tmp_path / "data") as server:
        with server.neurograph() as client:
            client.tokens.create(text="hello world")
        assert open_to_others(tmp_path / "data") == []
        names = {path.name for path in (tmp_path / "data").iterdir()}
        assert {name for name in names if not name.startswith(("control", "account"))} <= set(COVERED)
    assert open_to_others(tmp_path / "data") == []


def test_an_existing_directory_is_made_private(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, umask_of_nobody: None
) -> None:
    """FINDINGS B10."""
    with closing(opened(tmp_path / "data")) as engine:
        fill(engine)
    for path in (tmp_path / "data", *(tmp_path / "data").rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    outside = tmp_path / "outside"
    outside.touch(0o644)
    (tmp_path / "data" / "link").symlink_to(outside)
    with closing(opened(tmp_path / "data")) as engine:
        assert engine.count(DOCS) == 50
        (tmp_path / "data" / "link").unlink()
        assert open_to_others(tmp_path / "data") == []
    assert outside.stat().st_mode & 0o777 == 0o644
    told = [line for line in caplog.records if "could be read by other users" in line.getMessage()]
    assert len(told) == 1
    caplog.clear()
    opened(tmp_path / "data").close()
    assert not [line for line in caplog.records if "could be read" in line.getMessage()]


def test_what_else_is_in_a_directory_keeps_its_mode(tmp_path: Path, umask_of_nobody: None) -> None:
    """FINDINGS B10: somebody may name a directory that is theirs for other things too."""
    (tmp_path / "pictures").mkdir(0o755)
    (tmp_path / "pictures" / "one").touch(0o644)
    for _ in range(2):
        opened(tmp_path).close()
    assert open_to_others(tmp_path) == ["pictures", "pictures/one"]


# ------------------------------------------------------------ FINDINGS C8: what operators can run


def run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


def test_verify_repair_and_recall_on_a_stopped_directory(tmp_path: Path) -> None:
    """FINDINGS C8: exit code 0 for sound, 1 for damage, 2 for what cannot be opened."""
    data = tmp_path / "data"
    with closing(opened(data)) as engine:
        fill(engine)
        assert run("verify", data)[0] == 2
    ballast = (data / "ballast").stat().st_size
    code, told = run("verify", data)
    assert (code, told.splitlines()[-1]) == (0, "no problems found")
    assert "docs: 50 points are as they were written" in told
    code, told = run("recall", data, "--json")
    assert code == 0
    assert json.loads(told)["collections"]["docs"]
    assert run("repair", data)[0] == 0
    file = next(data.rglob("points.sqlite"))
    content = file.read_bytes()
    at = content.index(b'{"n":7}')
    file.write_bytes(content[: at + 5] + b"8" + content[at + 6 :])
    code, told = run("verify", data, "--json")
    assert code == 1
    assert json.loads(told)["sound"] is False
    code, told = run("repair", data)
    assert code == 1
    assert "49 points salvaged, 1 lost: '7'" in told
    assert run("verify", data)[0] == 0
    assert (data / "ballast").stat().st_size == ballast


@pytest.mark.parametrize("command", ["verify", "repair", "recall"])
def test_a_directory_without_data_is_not_made_into_one(tmp_path: Path, command: str) -> None:
    """FINDINGS C8."""
    assert run(command, tmp_path)[0] == 2
    assert run(command, tmp_path / "missing")[0] == 2
    assert run(command)[0] == 2
    assert list(tmp_path.iterdir()) == []


def test_every_capability_is_asked_by_somebody() -> None:
    """FINDINGS C8: a field that nobody reads promises what nobody proves."""
    source = Path(vectrograph.__file__).parent
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(source.rglob("*.py")))
    asked: set[Any] = set(re.findall(r"(?i:capabilities|caps)(?:\(\))?\.(\w+)", text))
    assert {field.name for field in fields(Capabilities)} <= asked


def test_a_lost_signing_key_is_made_anew_and_the_log_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """FINDINGS C5: sessions end, API keys go on, and a first start says nothing of the kind."""
    with running(tmp_path / "data") as server:
        key = server.server.new_api_key("developer", "survivor")
        old = server.server.services.sessions.login("developer", "developer123").access_token
    assert "recreated" not in caplog.text
    (tmp_path / "data" / "signing.key").unlink()
    with running(tmp_path / "data") as server:
        assert "signing.key was missing and was created again" in caplog.text
        sessions = server.server.services.sessions
        with pytest.raises(InvalidToken, match="log in again"):
            sessions.authenticate(old)
        new = sessions.login("developer", "developer123").access_token
        assert sessions.authenticate(new).username == "developer"
        with server.neurograph(api_key=key) as client:
            client.tokens.create(text="hello world")
