"""The settings page, the command line, the environment and the TOML file all know the same settings."""

import inspect
from pathlib import Path

import pytest

from vectrograph.cli.commands import serve
from vectrograph.domain.errors import StartupError
from vectrograph.settings import Settings, settings_table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"


def test_the_page_holds_the_table_of_the_class() -> None:
    assert PAGE.read_text(encoding="utf-8").endswith(settings_table())


def test_the_command_line_offers_every_setting_and_no_other() -> None:
    offered = set(inspect.signature(serve).parameters) - {"config"}
    assert offered == set(Settings.model_fields)


def test_every_setting_is_described() -> None:
    assert [name for name, info in Settings.model_fields.items() if not info.description] == []


def test_given_wins_over_environment_over_file_over_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "vectrograph.toml"
    config.write_text("http_port = 1001\ngrpc_port = 1001\nmax_top_k = 77\nallowed_hosts = ['db.example']\n")
    monkeypatch.setenv("VECTROGRAPH_HTTP_PORT", "1002")
    monkeypatch.setenv("VECTROGRAPH_GRPC_PORT", "1002")
    settings = Settings.load(config, http_port=1003)
    assert (settings.http_port, settings.grpc_port, settings.max_top_k) == (1003, 1002, 77)
    assert settings.vectron_http_port == 8080
    assert "db.example" in settings.host_names
    assert settings.limits.max_top_k == 77


@pytest.mark.parametrize(
    ("text", "named"),
    [("htp_port = 1", "htp_port"), ("http_port = 70000", "http_port"), ("http_port = ", "not TOML")],
)
def test_a_wrong_file_is_refused_in_one_line_that_names_the_key(tmp_path: Path, text: str, named: str) -> None:
    config = tmp_path / "wrong.toml"
    config.write_text(text)
    with pytest.raises(StartupError, match=named) as caught:
        Settings.load(config)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(StartupError, match="Cannot read"):
        Settings.load(Path("/nowhere/vectrograph.toml"))
