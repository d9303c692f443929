"""The generator of the contract's structs: what it writes is fresh, and what it cannot write is refused."""

import importlib
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from vectrograph.rpc.methods import SERVICES
from vectrograph.vectron._messages import auth, vectron
from vectrograph.vectron._messages.methods import METHODS

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def protostructs(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("protostructs")


def test_the_checked_in_files_are_fresh(protostructs: ModuleType) -> None:
    assert protostructs.check() == []


def test_stale_missing_and_orphaned_files_are_named_and_mended(
    protostructs: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(protostructs, "ROOT", tmp_path)
    monkeypatch.setattr(protostructs, "FOLDER", tmp_path / "_messages")
    assert protostructs.main([]) == 0
    assert protostructs.main(["--check"]) == 0
    (tmp_path / "_messages/auth.py").write_text("# edited by hand\n")
    (tmp_path / "_messages/methods.py").unlink()
    (tmp_path / "_messages/old.py").write_text("")
    assert protostructs.main(["--check"]) == 1
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == [
        "_messages/methods.py", "_messages/auth.py", "_messages/old.py",
    ]  # fmt: skip
    protostructs.write()
    assert protostructs.check() == []


CONTRACT = """
syntax = "proto3"; package p;
service S { rpc Do(A) returns (A); }
// A thing.
message A {
  // Its "name".
  string name = 1;
  repeated float numbers = 2;
  E e = 3;
  uint64 far = 100;
}
// A choice.
enum E { ZERO = 0; ONE = 1; }
"""


def written(protostructs: ModuleType, folder: Path, contract: str) -> str:
    (folder / "some.proto").write_text(contract)
    texts: dict[Path, str] = protostructs.expected(folder)
    return texts[protostructs.FOLDER / "some.py"]


def test_a_message_that_is_asked_and_answered_comes_twice(protostructs: ModuleType, tmp_path: Path) -> None:
    text = written(protostructs, tmp_path, CONTRACT)
    asked, answered = re.split(r"class AResponse\(.*\n", text)
    assert '    """A thing."""' in asked
    assert """    name: Annotated[str, Meta(description="Its \\"name\\".")] = \"\"\n""" in asked
    assert "    numbers: list[float] = []\n    e: E = E.ZERO\n    far: UInt64 = 0\n" in asked
    assert """    numbers: list[float]\n    e: E\n    far: SentInt64 | UnsetType = UNSET\n""" in answered
    compile(text, "some.py", "exec")


@pytest.mark.parametrize(
    ("whole", "broken", "complaint"),
    [("// A thing.\n", "", "A has no comment"), ("ONE = 1;", "ONE = 2;", "numbers must be 0, 1, 2")],
)
def test_what_no_struct_can_say_is_refused(
    protostructs: ModuleType, tmp_path: Path, whole: str, broken: str, complaint: str
) -> None:
    with pytest.raises(RuntimeError, match=complaint):
        written(protostructs, tmp_path, CONTRACT.replace(whole, broken))


@pytest.mark.parametrize("name", METHODS)
def test_structs_have_the_attributes_of_their_messages(name: str) -> None:
    service, _, method = name.partition("/")
    table: Any = SERVICES[service][method]
    for struct, message in ((METHODS[name].request, table.request), (METHODS[name].response, table.response)):
        assert list(struct.__struct_fields__) == [field.name for field in message.DESCRIPTOR.fields]
        assert [f.encode_name for f in msgspec.structs.fields(struct)] == [
            f.json_name for f in message.DESCRIPTOR.fields
        ]
    assert METHODS[name].streaming == table.response_streaming


def test_secrets_show_nothing_of_themselves() -> None:
    assert repr(auth.LoginRequest(email="e", password="hidden")) == "LoginRequest(…)"
    user = vectron.DeleteRequest(collection="c", id="i")
    assert "id='i'" in repr(user)
    for kind in (method for pair in METHODS.values() for method in (pair.request, pair.response)):
        if {"password", "full_key", "jwt_token", "sdk_jwt"} & set(kind.__struct_fields__):
            assert kind.__repr__ is auth.LoginRequest.__repr__, kind
