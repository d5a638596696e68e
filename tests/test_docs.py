"""Every command, setting and route is found in the documents, and what they link to exists."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from heli.backend.app import make_app, make_parts
from heli.cli.costs import FIGURES
from heli.cli.dead_letters import SHAPE as DEAD_LETTERS
from heli.cli.reprice import SHAPE as REPRICED
from heli.cli.request_rows import FLAT
from heli.schema.errors import ExitCode
from heli.schema.filter import FIELDS, Field
from heli.schema.settings import RESERVED_VARIABLES, Settings, load_settings

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "bench/README.md"]


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def settings_of(record: type[msgspec.Struct], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """`(dotted name, default)` of every setting."""
    for field in msgspec.structs.fields(record):
        default = field.default_factory() if callable(field.default_factory) else field.default
        if isinstance(default, msgspec.Struct):
            yield from settings_of(type(default), f"{prefix}{field.name}.")
        elif field.name == "providers":
            yield "providers.<name>.base_url", ""
        else:
            yield f"{prefix}{field.name}", default


SETTINGS = list(settings_of(Settings))


@pytest.mark.parametrize(("name", "default"), SETTINGS, ids=[name for name, _ in SETTINGS])
def test_a_setting_is_documented_with_its_default(name: str, default: Any) -> None:
    told = f"`{default}`" if default not in ("", []) else "none"
    assert f"| `{name}` | {told} |" in page("configuration.md")


def test_no_setting_is_documented_that_does_not_exist() -> None:
    told = re.findall(r"^\| `([a-z_.<>]+)` \|", page("configuration.md"), re.MULTILINE)
    assert set(told) == {name for name, _ in SETTINGS}


@pytest.mark.parametrize("name", sorted(RESERVED_VARIABLES))
def test_a_variable_is_documented(name: str) -> None:
    assert f"`{name}`" in page("configuration.md")


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_a_filter_field_is_documented(field: Field) -> None:
    also = ", ".join(f"`{alias}`" for alias in field.aliases)
    row = f"| `{field.name}` | {also} | {field.kind.value} | {field.description} | `{field.example}` |"
    assert row in page("filters.md")


def test_every_route_is_documented_and_no_other(tmp_path: Path) -> None:
    parts = make_parts(load_settings({"HELI_HOME": str(tmp_path)}))
    served = {
        f"{method.upper()} {path}"
        for path, methods in make_app(parts).openapi()["paths"].items()
        for method in methods
    }
    parts.door.close()
    told = set(re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /[^`?]*)`", page("api.md")))
    assert told - {"GET /docs", "GET /openapi.json", "GET /download/swagger.json"} == served


def test_the_commands_page_says_what_the_commands_say() -> None:
    program = [sys.executable, ROOT / "scripts/write_commands_page.py", "--print"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert page("commands.md") == done.stdout, "`make docs` writes docs/commands.md anew"


@pytest.mark.parametrize(
    ("command", "fields"),
    [
        ("logs", FLAT),
        ("costs", FIGURES),
        ("reprice", REPRICED.flat),
        ("dead-letters list", DEAD_LETTERS.flat),
    ],
)
def test_the_order_of_the_fields_in_a_pipe_is_documented(command: str, fields: tuple[str, ...]) -> None:
    told = page("commands.md").partition(f"### heli {command}\n")[2].partition("###")[0]
    assert f"{', '.join(fields)}." in " ".join(told.split())


@pytest.mark.parametrize("name", sorted(file.name for file in ROOT.glob("tests/rel/test_*.py")))
def test_a_reliability_figure_is_documented(name: str) -> None:
    assert f"`{name}`" in page("reliability.md")


@pytest.mark.parametrize("code", list(ExitCode), ids=lambda code: code.name)
def test_an_exit_code_is_documented(code: ExitCode) -> None:
    assert re.search(rf"^\| {code.value} \|", page("commands.md"), re.MULTILINE)


@pytest.mark.parametrize("file", PAGES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_link_leads_to_a_file_and_a_heading_that_exist(file: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", file.read_text()):
        path, _, heading = target.partition("#")
        linked = (file.parent / path).resolve() if path else file
        assert linked.exists(), f"{target} does not exist"
        if heading:
            assert heading in anchors(linked), f"{target}: no such heading"


def anchors(file: Path) -> set[str]:
    """The anchors of a page's headings, as they are made from their words."""
    headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
