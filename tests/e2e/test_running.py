"""`running()` and the pytest plugin: the real server in this process, isolated and gone afterwards."""

import socket
from pathlib import Path

import pytest

from vectrograph import running
from vectrograph.domain.errors import DirectoryLocked, StartupError

pytest_plugins = ["pytester"]


def test_two_servers_know_nothing_of_each_other() -> None:
    with running() as one, running() as two, one.neurograph() as first, two.neurograph() as second:
        first.tokens.create(text="only here")
        assert len(first.tokens.list()) == 1
        assert second.tokens.list() == []


def test_a_given_directory_keeps_its_data(tmp_path: Path) -> None:
    with running(tmp_path / "kept") as server, server.neurograph() as client:
        token = client.tokens.create(text="still there")
    with running(tmp_path / "kept") as server, server.neurograph() as client:
        assert client.tokens.get(token.id) == token


def test_a_directory_serves_one_server_at_a_time(tmp_path: Path) -> None:
    with running(tmp_path / "one"), pytest.raises(DirectoryLocked, match=str(tmp_path / "one")):
        with running(tmp_path / "one"):
            pass


def test_the_ports_are_free_again_afterwards() -> None:
    with running() as server:
        ports = [int(address.rpartition(":")[2]) for address in (server.http_url, server.grpc_address)]
    for port in ports:
        with socket.create_server(("127.0.0.1", port), reuse_port=False) as again:
            assert again.getsockname()[1] == port


def test_it_listens_on_loopback_only() -> None:
    with pytest.raises(StartupError, match="loopback"), running(host="0.0.0.0"):  # noqa: S104
        pass


def test_settings_are_settings_of_the_server() -> None:
    with running(max_top_k=3) as server, server.neurograph() as client:
        with pytest.raises(Exception, match="3"):
            client.tokens.query([1.0] * 256, top_k=4)
    with pytest.raises(StartupError, match="no_such_setting"), running(no_such_setting=1):
        pass


def test_the_plugin_hands_each_test_a_server_of_its_own(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("round", [1, 2])
        def test_fresh(vectrograph_server, round):
            with vectrograph_server.neurograph() as client:
                assert client.tokens.create(text="first").id == 1

        @pytest.mark.parametrize("round", [1, 2])
        def test_shared(vectrograph_shared_server, round):
            with vectrograph_shared_server.neurograph() as client:
                assert client.tokens.create(text="another").id == round
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=4)


def test_odd_characters_in_the_data_path_mean_themselves(tmp_path: Path) -> None:
    """FINDINGS C4."""
    folder = tmp_path / "beside"
    folder.mkdir()
    name = 'per%40cent%20?mode=ro&uri=true#f "quo\'te" ünï\nline'
    with running(folder / name) as server, server.neurograph() as client:
        token = client.tokens.create(text="hello").id
    assert [path.name for path in folder.iterdir()] == [name]
    with running(folder / name) as server, server.neurograph() as client:
        assert client.tokens.get(token).text == "hello"
    assert (folder / name / "control.sqlite").stat().st_size > 0
