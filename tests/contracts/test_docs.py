"""What the documentation says is true: generated pages, names, links and command lines."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from scripts import generate_reference as reference
from typer import TyperException
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from referee.cli import app as command_line
from referee.foundation.settings import Settings
from referee.tools.registry import TOOL_NAMES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    [*DOCS.rglob("*.md"), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))]
)

LINK = re.compile(r"(?<!\\)\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^|[\s(=]|bin/)(referee [a-z-].*)$")
INLINE = re.compile(r"`(referee [^`]+)`")


def read(name: str) -> str:
    return (DOCS / "reference" / name).read_text("utf-8")


@pytest.mark.parametrize("name", reference.PAGES)
def test_generated_page_is_what_the_code_renders(name: str) -> None:
    assert read(name) == reference.PAGES[name](), "Run make docs."


@pytest.mark.parametrize("name", Settings.model_fields)
def test_setting_is_in_the_docs(name: str) -> None:
    assert f"| `REFEREE_{name.upper()}` |" in read("settings.md")


def test_every_default_in_words_is_of_a_setting() -> None:
    assert reference.DEFAULTS_IN_WORDS.keys() <= Settings.model_fields.keys()
    computed = {name for name, field in Settings.model_fields.items() if field.default_factory is not None}
    assert computed == reference.DEFAULTS_IN_WORDS.keys()


@pytest.mark.parametrize("name", TOOL_NAMES)
def test_tool_is_in_the_docs(name: str) -> None:
    assert f"\n## {name}\n" in read("tools.md")


def test_every_command_is_in_the_docs() -> None:
    sections = re.findall(r"^## `referee (.+)`$", read("commands.md"), re.MULTILINE)
    assert sections == [" ".join(words) for words in list_commands(get_group(command_line))]


def test_every_route_is_in_the_docs() -> None:
    rows = re.findall(r"^\| ([A-Z]+) \| `(.+?)` \|.*\| (.+) \|$", read("api.md"), re.MULTILINE)
    addresses = [
        (method, address)
        for method, path, older in rows
        for address in (path, *re.findall(r"`(.+?)`", older))
    ]
    expected = [(method.upper(), path) for method, path, _ in reference.list_operations(reference.open_api())]
    assert sorted(addresses) == sorted(expected)


def test_every_operation_has_an_id_of_its_own() -> None:
    operations = [one for path in reference.open_api()["paths"].values() for one in path.values()]
    ids = [one["operationId"] for one in operations]
    assert sorted(ids) == sorted(set(ids))


def test_every_metric_is_in_the_docs() -> None:
    names = re.findall(r"^\| `(referee_\w+)`", read("metrics.md"), re.MULTILINE)
    assert names == [name for name, _, _, _ in reference.list_metrics()]


def test_metrics_are_named_for_their_room_and_unit() -> None:
    units = ("_total", "_seconds", "_bytes", "_count", "_share")
    assert [name for name, _, _, _ in reference.list_metrics() if not name.endswith(units)] == []


def test_every_error_code_is_in_the_docs_once_for_each_class() -> None:
    rows = re.findall(r"^\| `([a-z_<>]+\.[a-z_<>]+)` \| (\w+) \|", read("errors.md"), re.MULTILINE)
    assert rows == [(one.code, one.kind) for one in reference.collect_error_codes()]
    assert len(rows) == len(set(rows))


def test_error_codes_are_collected_from_helpers_and_subclasses_too() -> None:
    codes = {one.code for one in reference.collect_error_codes()}
    assert {
        "filter.unknown_key",
        "tools.output_unreadable",
        "access.key_revoked",
        "<noun>.id_invalid",
    } <= codes


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert [target for target in list_links(page) if not leads_somewhere(page, target)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_has_one_title(page: Path) -> None:
    titles = re.findall(r"^# (.+)$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    assert len(titles) == 1


def test_every_page_is_reachable_from_the_readme() -> None:
    seen, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        seen.add(page)
        near = [(page.parent / target.partition("#")[0]).resolve() for target in list_links(page)]
        files = [file for path in near for file in (sorted(path.glob("*.md")) if path.is_dir() else [path])]
        waiting += [file for file in files if file.suffix == ".md" and file.exists() and file not in seen]
    assert [str(page.relative_to(ROOT)) for page in PAGES if page not in seen] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_command_lines_are_understood(page: Path) -> None:
    complaints = [
        f"{line}: {complaint}"
        for line, is_whole in list_command_lines(page)
        if (complaint := judge(line, is_whole))
    ]
    assert complaints == []


def test_a_wrong_command_line_would_be_noticed() -> None:
    assert judge("referee analyse .", True)
    assert judge("referee analyze . --fial-on high", False)
    assert judge("referee analyze", True)
    assert not judge("referee analyze", False)
    assert not judge('referee finding list "is:open" > findings.txt  # all', True)


def test_targets_of_the_readme_are_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {
        target
        for page in PAGES
        for target in re.findall(r"(?:^    |`)make ([a-z-]+)", page.read_text("utf-8"), re.MULTILINE)
    }
    assert {"run", "test"} <= named <= targets


def test_decisions_have_context_decision_and_consequences_on_one_page() -> None:
    for number, path in enumerate(sorted((DOCS / "decisions").glob("*.md")), start=1):
        text = path.read_text("utf-8")
        assert path.name.startswith(f"{number:04d}-")
        assert text.startswith(f"# {number}. ")
        assert all(f"\n## {part}\n" in text for part in ("Context", "Decision", "Consequences"))
        assert len(text.splitlines()) <= 60


def list_commands(group: TyperGroup, *above: str) -> Iterator[tuple[str, ...]]:
    for name, command in sorted(group.commands.items()):
        if not isinstance(command, TyperGroup) or command.invoke_without_command:
            yield (*above, name)
        if isinstance(command, TyperGroup):
            yield from list_commands(command, *above, name)


def list_links(page: Path) -> list[str]:
    text = FENCE.sub("", page.read_text("utf-8"))
    return [
        target for target in LINK.findall(text) if not target.startswith(("http://", "https://", "mailto:"))
    ]


def leads_somewhere(page: Path, target: str) -> bool:
    name, _, anchor = target.partition("#")
    path = (page.parent / name).resolve() if name else page
    if not path.exists():
        return False
    return not anchor or anchor in {slug(heading) for heading in HEADING.findall(path.read_text("utf-8"))}


def slug(heading: str) -> str:
    """Return the anchor that Markdown renderers give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def list_command_lines(page: Path) -> Iterator[tuple[str, bool]]:
    """Yield command lines of a page: those in blocks must be whole, those inside a sentence may be cut short."""
    text = re.sub(r"^```text$.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for block in FENCE.findall(text):
        yield from ((found.group(1), True) for line in block.splitlines() if (found := COMMAND.search(line)))
    prose = FENCE.sub("", text)
    for line in prose.splitlines():
        if line.startswith("    ") and (found := COMMAND.search(line)):
            yield found.group(1), True
    yield from ((line, False) for line in INLINE.findall(prose))


@cache
def build_commands() -> TyperGroup:
    """Return the tree of all commands; building it takes 20 ms, and hundreds of lines are judged by it."""
    built = get_group(command_line)
    assert isinstance(built, TyperGroup)
    return built


def judge(line: str, is_whole: bool) -> str | None:
    """Return why a command line is not one of ours, None when it is."""
    line = re.split(r"\s+(?:#|>|\||&&)(?:\s|$)", line)[0].rstrip(".;:,")
    words = shlex.split(line)[1:]
    command = build_commands()
    while isinstance(command, TyperGroup) and words and not words[0].startswith("-"):
        if words[0] not in command.commands:
            return f"there is no command {words[0]!r}"
        found = command.commands[words.pop(0)]
        if isinstance(found, TyperCommand):
            return judge_arguments(found, words, is_whole)
        assert isinstance(found, TyperGroup)
        command = found
    if isinstance(command, TyperGroup) and command.invoke_without_command:
        return judge_arguments(command, words, is_whole)
    known = {"--help", "--version"}
    return None if all(word in known for word in words) else f"{words[0]!r} is no option"


def judge_arguments(command: TyperCommand | TyperGroup, words: list[str], is_whole: bool) -> str | None:
    if is_whole:
        try:
            command.make_context(command.name or "", list(words))
        except TyperException as error:
            return str(error)
        return None
    options = {name for parameter in command.params for name in [*parameter.opts, *parameter.secondary_opts]}
    unknown = [
        word for word in words if word.startswith("-") and word.partition("=")[0] not in {*options, "--help"}
    ]
    return f"{unknown[0]!r} is no option" if unknown else None
