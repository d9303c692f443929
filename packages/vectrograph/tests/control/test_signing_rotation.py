"""Two signing keys in force: the new one signs, the one before it verifies on."""

import stat
from pathlib import Path

import pytest
from control.hand_clock import HandClock

from vectrograph.control.records import SessionRecord
from vectrograph.control.signing import TokenSigner, TokenType, rotate_secret
from vectrograph.domain.errors import InvalidToken

SESSION = SessionRecord(session_id="s", user_id="u", refresh_id="r", created_at=0, expires_at=0)


def test_a_token_survives_one_rotation_and_not_two(tmp_path: Path, clock: HandClock) -> None:
    path = tmp_path / "signing.key"
    first = TokenSigner.from_file(path, clock)
    token = first.login_token(SESSION)
    rotate_secret(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    second = TokenSigner.from_file(path, clock)
    assert second.verify(token, TokenType.LOGIN).user_id == "u"
    with pytest.raises(InvalidToken):
        first.verify(second.login_token(SESSION), TokenType.LOGIN)
    rotate_secret(path)
    third = TokenSigner.from_file(path, clock)
    with pytest.raises(InvalidToken):
        third.verify(token, TokenType.LOGIN)
    assert third.verify(second.login_token(SESSION), TokenType.LOGIN).user_id == "u"
    assert [entry.name for entry in tmp_path.iterdir()] == ["signing.key"]
