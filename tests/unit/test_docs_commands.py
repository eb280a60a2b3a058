"""Every command, request, name and link in the README and in docs/ exists."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from broker.app import api_document
from broker.cli import main
from broker.config.names import environment_names, setting_paths
from broker.decide.offers import parse_gpu_types
from providers.simulator.catalog import SUPPLY
from providers.simulator.faults import parse_fault
from tests.unit.cli_commands import commands
from tests.unit.cli_stub import gpu_broker
from tests.unit.documents import DOCUMENTS, ROOT, blocks, coded, document, section

_BESIDE = "## Beside the broker"
_BETWEEN = {"|", ">", ">>", "&&", ";"}
_OTHER_VARIABLES = {"GPU_BROKER_URL", "GPU_BROKER_DEBUG", "XDG_STATE_HOME", "NO_COLOR", "HF_TOKEN"}
"""Names in capitals that are no setting."""


def _shell_commands(text: str) -> Iterator[list[str]]:
    """The words of every command in the shell blocks of a document."""
    for block in blocks(text, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            words: list[str] = []
            for word in [*lexer, ";"]:
                if word in _BETWEEN:
                    yield words
                    words = []
                else:
                    words.append(word)


_COMMANDS = [
    (path, words) for path in DOCUMENTS for words in _shell_commands(path.read_text()) if words
]
_OURS = [
    (f"{path.name}: {' '.join(words)}", words[n + 1 :])
    for path, words in _COMMANDS
    for n, word in enumerate(words)
    if word.rpartition("/")[2] == "gpu-broker"
]
_REQUESTS = [
    (f"{path.name}: {' '.join(words)}", words) for path, words in _COMMANDS if words[0] == "curl"
]
_EXAMPLES = [
    *((path.name, path.read_text()) for path in DOCUMENTS),
    *((" ".join(words), command.epilog or "") for words, command in commands()),
]


def _find(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that the words lead to, and what is left of them; raises KeyError."""
    command: click.Command = main
    rest = list(words)
    while rest and isinstance(command, click.Group) and not rest[0].startswith("-"):
        command = command.commands[rest.pop(0)]
    return command, rest


@pytest.mark.parametrize("words", [words for _, words in _OURS], ids=[name for name, _ in _OURS])
def test_a_command_in_a_document_is_one(words: list[str]) -> None:
    """Its name, its options, its arguments."""
    command, rest = _find(words)

    assert command.make_context(command.name, rest)


@pytest.mark.parametrize(
    "span",
    sorted(
        {
            span
            for path in DOCUMENTS
            for span in coded(path.read_text())
            if span.startswith("gpu-broker ")
        }
    ),
)
def test_a_command_in_a_sentence_is_one(span: str) -> None:
    """Its name and its options; arguments may be left out there."""
    command, rest = _find(span.split()[1:])
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}

    assert {word for word in rest if word.startswith("--")} - known - {"--help"} == set()


@pytest.mark.parametrize("text", [text for _, text in _EXAMPLES], ids=[n for n, _ in _EXAMPLES])
def test_the_gpus_of_examples_are_on_the_simulated_market(text: str) -> None:
    """Whoever tries them as they stand there finds offers."""
    for quoted, plain in re.findall(r'--gpu-type[ =](?:"([^"]+)"|([^\s`"]+))', text):
        for name in (quoted or plain).split(","):
            assert any(offered in parse_gpu_types(name) for offered in SUPPLY), name


@pytest.mark.parametrize("name", ["doctor", "sweep", "cleanup-orphans"])
def test_the_help_of_what_works_beside_the_broker_shows_the_simulated_market(name: str) -> None:
    """Whoever has no account can try that line."""
    epilog = main.commands[name].epilog or ""

    assert re.search(rf"^  gpu-broker {name} .*--simulate$", epilog, re.MULTILINE)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_no_document_names_an_offer_that_may_have_gone(path: Path) -> None:
    """The reader takes one from the list."""
    named = re.findall(r"--offer-id[ =](\S+)", path.read_text())

    assert set(named) <= {"OFFER"}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "words",
    [w[1:] for w in _shell_commands(section(document("troubleshooting.md"), _BESIDE)) if w],
    ids=" ".join,
)
def test_what_works_beside_the_broker_works_as_it_is_printed(
    monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """On a machine where nothing is set up and nothing serves."""
    monkeypatch.setenv("GPU_BROKER_URL", "http://127.0.0.1:9")

    assert gpu_broker(*words).exit_code == 0


@pytest.mark.parametrize("words", [words for _, words in _REQUESTS], ids=[n for n, _ in _REQUESTS])
def test_a_request_in_a_document_is_one_of_the_api(words: list[str]) -> None:
    """The method, the path, the fields of the body."""
    options = dict(itertools.pairwise(words))
    url = next(word for word in words if word.startswith("http"))
    body = json.loads(options["-d"]) if "-d" in options else None
    method = options.get("-X", "POST" if body else "GET").lower()
    path = url.removeprefix("http://127.0.0.1:8080")
    if path == "/simulator/faults":
        assert body is None or parse_fault(body)
        return
    paths = api_document()["paths"]
    found = [name for name in paths if re.fullmatch(re.sub(r"{\w+}", "[^/]+", name), path)]

    assert len(found) == 1
    operation = paths[found[0]][method]
    if body is not None:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        name = schema["$ref"].rpartition("/")[2]
        fields = api_document()["components"]["schemas"][name]["properties"]
        assert body.keys() <= fields.keys()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_the_settings_that_a_document_names_exist(path: Path) -> None:
    """Variables in capitals, and dotted keys."""
    known = {name for setting in setting_paths() for name in environment_names(setting)}
    spans = coded(re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL))
    variables = {w for span in spans for w in re.findall(r"\b[A-Z]{2,}(?:_[A-Z]+)+\b", span)}
    sections = {setting.partition(".")[0] for setting in setting_paths()} - {"data_dir"}
    keys = {span for span in spans if re.fullmatch(r"[a-z]+(\.[a-z_]+)+", span)}
    ours = {key for key in keys if key.partition(".")[0] in sections}

    assert variables - known - _OTHER_VARIABLES == set()
    assert ours - set(setting_paths()) == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    """To a file of the source, and to a heading in it."""
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text()):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        file = path.parent / name if name else path
        assert file.exists(), target
        assert not anchor or anchor in _anchors(file), target


def test_the_readme_links_every_document() -> None:
    """Whoever reads it finds the others."""
    readme = (ROOT / "README.md").read_text()

    assert [
        f"docs/{path.name}" for path in DOCUMENTS[1:] if f"docs/{path.name}" not in readme
    ] == []


def _anchors(file: Path) -> set[str]:
    """The headings of a document as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
