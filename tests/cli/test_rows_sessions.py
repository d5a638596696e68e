"""How a session is named in a line of a list."""

import pytest

from heli.cli.request_rows import COLUMNS, Row, session_title
from heli.cli.table import Table
from tests.cli.fake_backend import a_request


@pytest.mark.parametrize(
    ("name", "session_id", "path", "shown"),
    [
        ("fix-login", "run-1", "/2", "fix-login/2"),
        ("", "run-1", "/", "run-1"),
        ("", "0199f3a2-5b1e-7c33-9f21-6f0d8c1e2a77", "/a1b2c3d", "0199f3a2/a1b2c3d"),
        ("", "thread-0199f3a25b1e-7f3a91", "/", "thread-7f3a91"),
        ("", "thread-of-mine", "/plan/search", "thread-of-mine/plan/search"),
        ("", "", "", ""),
    ],
)
def test_a_session_is_named_shortly_and_with_its_place(
    name: str, session_id: str, path: str, shown: str
) -> None:
    assert session_title(name, session_id, path) == shown


def test_a_long_session_is_cut_where_one_sees_it() -> None:
    row = Row(request=a_request(session_id="a-session-with-a-very-long-name"))
    table = Table(COLUMNS, is_colored=False)
    assert "  a-session-with-a-very-l…  " in table.line(row, 200)


@pytest.mark.parametrize("width", [113, 119, 120, 122])
def test_a_long_session_takes_no_column_away(width: int) -> None:
    long = Row(request=a_request(session_name="nightly run", session_path="/plan/step one"))
    table = Table(COLUMNS, is_colored=False)
    table.learn([Row(request=a_request())])
    before = table.titles(width)

    table.learn([long])

    assert "session" in before
    assert table.titles(width) == before
    assert "  nightly run" in table.line(long, width)
    assert "…  hello" in table.line(long, width)
