"""The generator of the `_pb` packages: what it writes loads anywhere, and goes stale noticeably."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from vectrograph.rpc._pb import auth_pb, bytesview_pb, methods, pool, vectrograph_pb, vectron_pb

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture
def protogen() -> ModuleType:
    spec = importlib.util.spec_from_file_location("protogen_under_test", ROOT / "tools" / "protogen.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def elsewhere(protogen: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide the generator writing into an empty folder."""
    monkeypatch.setattr(protogen, "ROOT", tmp_path)
    monkeypatch.setattr(protogen, "TARGETS", {"somewhere._pb": tmp_path / "somewhere" / "_pb"})
    return tmp_path / "somewhere" / "_pb"


def test_the_checked_in_files_are_fresh(protogen: ModuleType) -> None:
    assert protogen.check() == []


def test_check_names_missing_stale_and_orphaned_files(protogen: ModuleType, elsewhere: Path) -> None:
    protogen.write()
    assert protogen.check() == []
    (elsewhere / "pool.py").unlink()
    (elsewhere / "vectron_pb.py").write_text("# edited by hand\n")
    (elsewhere / "old_pb.pyi").write_text("")
    problems = protogen.check()
    assert [problem.partition(",")[0] for problem in problems] == [
        "somewhere/_pb/pool.py: missing",
        "somewhere/_pb/vectron_pb.py: stale",
        "somewhere/_pb/old_pb.pyi: orphaned",
    ]
    protogen.write()
    assert protogen.check() == []
    assert not (elsewhere / "old_pb.pyi").exists()


def test_the_command_line_fails_on_a_stale_file(
    protogen: ModuleType, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert protogen.main([]) == 0
    assert protogen.main(["--check"]) == 0
    (elsewhere / "methods.py").write_text("")
    assert protogen.main(["--check"]) == 1
    assert "methods.py: stale" in capsys.readouterr().out


def test_a_broken_proto_file_is_an_error(
    protogen: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.proto").write_text('syntax = "proto3"; message {')
    with pytest.raises(RuntimeError, match="protoc failed"):
        protogen.compile_protos(tmp_path)
    assert "broken.proto" in capfd.readouterr().err


def test_two_files_of_one_stem_are_refused(protogen: ModuleType, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.proto").write_text('syntax = "proto3";')
    with pytest.raises(RuntimeError, match="share a stem"):
        protogen.compile_protos(tmp_path)


def test_nested_messages_are_refused_rather_than_left_without_a_stub(
    protogen: ModuleType, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "proto"
    folder.mkdir()
    (folder / "nested.proto").write_text('syntax = "proto3"; package x; message A { message B {} B b = 1; }')
    compiled = protogen.compile_protos(folder)
    monkeypatch.setattr(protogen, "compile_protos", lambda: compiled)
    with pytest.raises(RuntimeError, match="A: put nested messages"):
        protogen.expected()


def test_messages_stay_out_of_the_pool_that_the_process_shares() -> None:
    shared = descriptor_pool.Default()
    for name in (vectron_pb.DESCRIPTOR.name, auth_pb.DESCRIPTOR.name, bytesview_pb.DESCRIPTOR.name):
        with pytest.raises(KeyError):
            shared.FindFileByName(name)
    assert pool.POOL.FindFileByName(vectron_pb.DESCRIPTOR.name).package == "vectron.v1"


def test_another_copy_of_the_contract_may_live_in_the_same_process(tmp_path: Path) -> None:
    """Compiled by plain protoc, as official clients carry it, with a field that ours does not have."""
    shutil.copytree(ROOT / "proto", tmp_path / "proto")
    contract = tmp_path / "proto/vectron/v1/vectron.proto"
    contract.write_text(contract.read_text().replace("string query = 4;", "string query = 4; string more = 9;"))
    protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{tmp_path}/proto", f"--python_out={tmp_path}"]
    sources = [str(path) for path in (tmp_path / "proto").rglob("*.proto")]
    subprocess.run([*protoc, *sources], check=True)
    program = (
        "from vectron.v1 import vectron_pb2 as official\n"
        "from vectrograph.rpc._pb import bytesview_pb, vectron_pb as ours\n"
        "import vectron_client._pb.vectron_pb as client\n"
        "body = official.SearchRequest(collection='c', more='m').SerializeToString()\n"
        "print(ours.SearchRequest.FromString(body).collection, client.SearchRequest.FromString(body).collection)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": ":".join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "c c\n"


def test_the_view_differs_from_the_contract_in_vectors_only() -> None:
    names = {message.name for message in bytesview_pb.DESCRIPTOR.message_types_by_name.values()}
    carrying = {"UpsertRequest", "Point", "SearchRequest", "SearchResponse", "SearchResult", "GetResponse"}
    ours = {"SearchBatchResponse", "ScrollResponse", "UpsertIfRequest"}
    # And what those hold, which has to be in the same file.
    assert names == carrying | ours | {"SearchPlan", "Rerank"}
    for name in names:
        module = vectrograph_pb if name in ours else vectron_pb
        ordinary = module.DESCRIPTOR.message_types_by_name[name].fields
        view = bytesview_pb.DESCRIPTOR.message_types_by_name[name].fields
        assert [(field.name, field.number) for field in ordinary] == [(field.name, field.number) for field in view]
        for there, here in zip(ordinary, view, strict=True):
            if there.type == FieldDescriptorProto.TYPE_FLOAT and there.is_repeated:
                assert (here.type, here.is_repeated) == (FieldDescriptorProto.TYPE_BYTES, False)
            else:
                assert (here.type, here.is_repeated) == (there.type, there.is_repeated)


def test_the_method_table_is_the_contract() -> None:
    table = methods.VECTRON_SERVICE_METHODS
    assert set(table) == {
        "CreateCollection", "DeleteCollection", "Upsert", "Search", "SearchStream", "Get", "Delete",
        "ListCollections", "GetCollectionStatus", "UpdateUserProfile", "SubmitFeedback",
    }  # fmt: skip
    for name, method in table.items():
        assert method.path == f"/vectron.v1.VectronService/{name}"
        assert not method.request_streaming
        assert method.response_streaming == (name == "SearchStream")
    assert table["SearchStream"].request is vectron_pb.SearchRequest
    assert table["Get"].response is vectron_pb.GetResponse


def test_enum_values_fit_their_fields() -> None:
    user = auth_pb.UserProfile(plan=auth_pb.Plan.PAID)
    assert auth_pb.UserProfile.FromString(user.SerializeToString()).plan == 2
