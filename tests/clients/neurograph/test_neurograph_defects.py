"""The defects of the official client, each with the tests here that would have caught it.

The numbers are those of the record of facts about that client, section 6.1.
"""

import re
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
FOLDERS = (HERE, HERE.parents[2] / "packages" / "neurograph-python" / "tests")

DEFECTS: dict[str, tuple[str, ...]] = {
    "C1 the asynchronous client never refreshes": (
        "test_async_neurograph_login.py::test_a_token_is_refreshed_before_it_expires_and_rotation_is_followed",
    ),
    "C2 ten first calls make ten logins": (
        "test_async_neurograph_login.py::test_ten_first_calls_at_once_make_one_login",
    ),
    "C3 no lock around refresh, naive clock": (
        "test_neurograph_login.py::test_many_calls_with_a_forgotten_session_renew_it_once",
        "test_neurograph_session.py::test_a_token_is_renewed_shortly_before_its_time",
    ),
    "C4 a 401 is never retried after a new login": (
        "test_neurograph_login.py::test_a_forgotten_session_is_renewed_once",
    ),
    "C5 network errors of the login leak": ("test_neurograph_login.py::test_its_errors_are_those_of_any_call",),
    "C6 any failed login is an AuthenticationError": (
        "test_neurograph_login.py::test_its_errors_are_those_of_any_call",
        "test_neurograph_login.py::test_it_is_repeated_when_the_server_is_busy",
    ),
    "C7 broken connections become the base error": (
        "test_neurograph_failures.py::test_reading_is_repeated_after_a_cut",
    ),
    "C8 a date in Retry-After destroys the error": ("test_neurograph_reading.py::test_when_to_come_back",),
    "C9 malformed success leaks foreign errors": (
        "test_neurograph_failures.py::test_a_malformed_success_is_an_error_of_ours",
        "test_neurograph_reading.py::test_nothing_that_a_server_sends_leaks_a_foreign_error",
    ),
    "C10 error texts are raw JSON": ("test_neurograph_reading.py::test_error_shapes",),
    "C11 list drops the total, no iterator": (
        "test_neurograph_surface.py::test_pages_lead_to_the_next",
        "test_client.py::test_iterate_walks_over_all_pages",
    ),
    "C12 update cannot clear": ("test_client.py::test_update_token_tells_leaving_from_clearing",),
    "C13 keys are created with nulls": ("test_client.py::test_api_keys",),
    "C14 secrets in attributes, reprs and errors": (
        "test_neurograph_values.py::test_reprs_are_short_and_show_no_secret",
        "test_neurograph_session.py::test_nothing_shows_a_secret",
        "test_neurograph_login.py::test_an_echoed_password_is_hidden",
        "test_neurograph_hooks.py::test_the_log_shows_what_happened_and_no_secret",
    ),
    "C15 errors shadow built-in ones and are not exported": (
        "test_neurograph_values.py::test_errors_also_are_the_built_in_ones",
        "test_neurograph_values.py::test_every_error_is_public_and_drawn_in_the_tree",
    ),
    "C16 retries repeat what must happen once, and wait without bound": (
        "test_neurograph_failures.py::test_creating_what_has_no_key_is_not_repeated",
        "test_neurograph_failures.py::test_a_server_that_says_much_later_gets_no_repeat",
        "test_neurograph_failures.py::test_no_pause_reaches_over_the_end",
        "test_neurograph_once.py::test_one_token_however_often_the_connection_is_cut",
    ),
    "C17 retry is not in the client": ("test_neurograph_failures.py::test_reading_is_repeated",),
    "C18 the client never logs": ("test_neurograph_hooks.py::test_the_log_shows_what_happened_and_no_secret",),
    "C19 options only before the subcommand, passwords in argv, missing commands, one exit code": (
        "test_neurograph_cli.py::test_they_may_stand_before_and_after_the_subcommand",
        "test_neurograph_cli.py::test_a_password_can_come_from_standard_input",
        "test_neurograph_cli_terminal.py::test_the_password_is_asked_for_and_not_shown",
        "test_neurograph_cli.py::test_health_needs_nobody_and_status_does",
        "test_neurograph_cli.py::test_create_get_update_delete",
        "test_neurograph_cli.py::test_the_life_of_a_key",
        "test_neurograph_cli.py::test_list_and_query",
        "test_neurograph_cli.py::test_by_status",
    ),
    "C20 the mock cannot be imported": (
        "test_neurograph_mocks.py::test_tokens",
        "test_neurograph_mocks.py::test_keys_and_health",
    ),
    "C21 no request id, User-Agent, hooks or proxy": (
        "test_neurograph_hooks.py::test_errors_name_their_request_and_say_what_to_try",
        "test_client.py::test_every_request_says_who_asks",
        "test_neurograph_hooks.py::test_it_stands_around_every_attempt_the_first_outermost",
        "test_neurograph_hooks.py::test_a_proxy_gets_the_requests",
    ),
    "C22 queries are not validated, none by text, no embedding without a token": (
        "test_client.py::test_wrong_arguments_are_refused_before_anything_is_sent",
        "test_neurograph_surface.py::test_by_vector_text_and_token",
        "test_client.py::test_embeddings_come_in_order",
    ),
    "C23 no way to end a session, use after close undefined": (
        "test_neurograph_surface.py::test_a_logout_ends_the_session_and_the_next_call_begins_one",
        "test_neurograph_failures.py::test_a_closed_client_says_so",
    ),
    "C24 the package collides with the core's": (
        "test_neurograph_values.py::test_the_version_is_that_of_the_distribution",
    ),
    "C25 half credentials fail late": (
        "test_neurograph_values.py::test_what_cannot_work_is_refused_at_once",
        "test_neurograph_values.py::test_half_credentials_in_the_environment_are_refused",
    ),
    "C26 ids are not quoted into paths": ("test_client.py::test_ids_stay_inside_their_path",),
}


def test_every_defect_has_its_place() -> None:
    covered = {name.split()[0] for name in DEFECTS}
    assert covered == {f"C{number}" for number in range(1, 27)}


@pytest.mark.parametrize(("defect", "tests"), DEFECTS.items(), ids=[name.split()[0] for name in DEFECTS])
def test_the_tests_named_exist(defect: str, tests: tuple[str, ...]) -> None:
    for named in tests:
        file, _, function = named.partition("::")
        [path] = [folder / file for folder in FOLDERS if (folder / file).exists()]
        source = path.read_text(encoding="utf-8")
        assert re.search(rf"^\s*(async )?def {function}\(", source, re.MULTILINE), f"{defect}: {named} is gone"
