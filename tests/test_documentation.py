"""Links, files, commands and options that the documentation and `--help` name are there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest
from reid_cli.reidprep.main import main as reidprep
from reid_cli.reidtrain.main import main as reidtrain

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
GROUPS = {"reidprep": reidprep, "reidtrain": reidtrain}
COMMANDS = {
    f"{program} {name}": command for program, group in GROUPS.items() for name, command in group.commands.items()
}
FOLDERS = "benchmarks|cli|docs|reidprep|reidtrain|scripts|tests"


@cache
def anchors(page: Path) -> frozenset[str]:
    """What a link may have behind the #, as GitHub makes it of headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = [re.sub(r"\[([^]]*)]\([^)]*\)", r"\1", line) for line in re.findall(r"^#+ (.*)$", text, re.MULTILINE)]
    return frozenset(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    lost = []
    for link in re.findall(r"]\(\s*(?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_of_the_project_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(rf"(?<![\w./-])((?:{FOLDERS})/[\w./-]*\w)", text)
    assert [name for name in named if not (ROOT / name).exists()] == []


def command_lines(text: str) -> Iterator[str]:
    """What `text` shows of the programs: in blocks, behind what a shell has before a command, and in running text."""
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        yield from re.findall(r"`((?:reidprep|reidtrain) [^`]+)`", line)
        if "`" not in line and (match := re.match(r"\s*(?:srun |for .*; do )?((?:reidprep|reidtrain) [^;>]+)", line)):
            yield match[1]


def wrong_usage(line: str) -> str | None:
    """What click says of a command line, but for what is left out of it, as in running text."""
    program, name, *arguments = shlex.split(line, comments=True)
    if name.startswith("-") or name == "COMMAND":  # the program itself
        return None
    command = COMMANDS[f"{program} {name}"]
    context = click.Context(command, info_name=name)
    try:
        values, rest, _ = command.make_parser(context).parse_args(arguments)
        for parameter in command.params:
            value = values.get(parameter.name)
            if not isinstance(value, str) or isinstance(parameter.type, click.Path):
                continue
            if "$" not in value and not value.isupper():  # what the shell or the reader puts in
                parameter.type_cast_value(context, value)
    except click.BadOptionUsage:  # an option without its value
        return None
    except click.UsageError as error:
        return f"{line}: {error.format_message()}"
    return f"{line}: {rest}" if rest else None


TEXTS = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
TEXTS |= {f"{name} --help": command.help or "" for name, command in COMMANDS.items()}


@pytest.mark.parametrize("where", TEXTS)
def test_commands_have_the_options_they_are_shown_with(where: str) -> None:
    assert [found for line in command_lines(TEXTS[where]) if (found := wrong_usage(line))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_benchmarks_and_scripts_have_the_options_they_are_shown_with(page: Path) -> None:
    text = re.sub(r"\\\n\s*", " ", page.read_text(encoding="utf-8"))
    shown = re.findall(r"((?:benchmarks|scripts)/\w+\.(?:py|sh))([^`\n]*)", text)
    options = [(name, option) for name, rest in shown for option in re.findall(r"(?<!\S)--[a-z][\w-]*", rest)]
    sources = {name: (ROOT / name).read_text(encoding="utf-8") for name, _ in options}
    assert [pair for pair in options if not re.search(rf"{pair[1]}\b(?!-)", sources[pair[0]])] == []
