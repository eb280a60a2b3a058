"""The house rules that a machine can check: sizes, layers, types, style, words."""

from __future__ import annotations

import ast
import fnmatch
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST_FUNCTION = 50
LONGEST_MODULE = 400
GENERATED = re.compile(r"(?:^|/)(?:\.(?!ci/|dockerignore|gitignore)|__pycache__|\w+\.egg-info)")
SCRIPTS = Path(sysconfig.get_path("scripts"))

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def project_files() -> tuple[Path, ...]:
    """Every file that belongs to the project, relative to its root.

    Without git's word (an unpacked archive) that is whatever lies in no hidden folder.
    """
    git = shutil.which("git") or "false"
    command = [git, "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout  # noqa: S603 (fixed)
    known = [Path(line) for line in listed.splitlines()]
    walked = (path.relative_to(ROOT) for path in ROOT.rglob("*"))
    files = known or [path for path in walked if not GENERATED.search(path.as_posix())]
    return tuple(path for path in files if (ROOT / path).is_file())


@cache
def texts() -> dict[Path, str]:
    """Every text file of the project."""
    found = {}
    for path in project_files():
        data = (ROOT / path).read_bytes()
        if b"\0" not in data:
            found[path] = data.decode("utf-8")
    return found


@cache
def modules() -> dict[Path, ast.Module]:
    """Every Python module of the project, parsed."""
    sources = {path: text for path, text in texts().items() if path.suffix == ".py"}
    return {path: ast.parse(text, str(path)) for path, text in sources.items()}


def product() -> dict[Path, ast.Module]:
    """The modules that are shipped."""
    return {path: tree for path, tree in modules().items() if path.parts[0] != "tests"}


def functions(tree: ast.Module) -> Iterator[Function]:
    """Every function and method, nested ones too."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def span(node: ast.stmt | ast.expr) -> int:
    """How many lines a node takes."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def length(function: Function) -> int:
    """Lines of a function, its docstring and its tables of constants aside."""
    aside = span(function.body[0]) if ast.get_docstring(function) else 0
    return span(function) - aside - sum(span(table) - 1 for table in tables(function))


def tables(node: ast.AST) -> Iterator[ast.expr]:
    """The outermost literals under `node` that hold nothing but constants."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Dict | ast.List | ast.Tuple | ast.Set) and is_constant(child):
            yield child
        else:
            yield from tables(child)


def is_constant(node: ast.expr) -> bool:
    """Whether an expression needs no evaluation."""
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError):
        return False
    return True


def words(name: str) -> set[str]:
    """The words of an identifier, in lower case."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def matches(pattern: str, *, except_in: tuple[str, ...] = ()) -> list[str]:
    """`file:line: text` for every place of the project where `pattern` is found."""
    sought = re.compile(pattern)
    return [
        f"{path}:{number}: {found[0]}"
        for path, text in texts().items()
        if path.as_posix() not in except_in
        for number, line in enumerate(text.splitlines(), 1)
        if (found := sought.search(line))
    ]


def run_tool(*command: str) -> None:
    """Run a checking tool; what it says is the message of the failure."""
    __tracebackhide__ = True
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 (fixed)
    if done.returncode != 0:
        pytest.fail(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def test_no_function_is_too_long() -> None:
    """What does not fit on a screen does more than one thing."""
    offenders = [
        f"{path}:{function.lineno} {function.name}: {length(function)} lines"
        for path, tree in modules().items()
        for function in functions(tree)
        if length(function) > LONGEST_FUNCTION
    ]

    assert offenders == []


def test_no_module_is_too_long() -> None:
    """A module is about one thing."""
    lengths = {path: len(texts()[path].splitlines()) for path in modules()}

    assert {path: n for path, n in lengths.items() if n > LONGEST_MODULE} == {}


def test_every_module_says_what_it_is_for() -> None:
    """A reader learns it from the first line."""
    assert [path for path, tree in modules().items() if not ast.get_docstring(tree)] == []


def test_every_test_says_what_must_hold() -> None:
    """One line under the name, for whoever sees it fail."""
    silent = [
        f"{path}:{function.lineno} {function.name}"
        for path, tree in modules().items()
        if path.name.startswith("test_")
        for function in functions(tree)
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]

    assert silent == []


def test_the_layers_hold() -> None:
    """Arrows point down only, and every module has its place."""
    run_tool(str(SCRIPTS / "lint-imports"))


def test_the_types_hold() -> None:
    """Strictly typed throughout."""
    run_tool(sys.executable, "-m", "mypy")


def test_the_linter_finds_nothing() -> None:
    """Style is not discussed, it is checked."""
    run_tool(str(SCRIPTS / "ruff"), "check", "--quiet")


def test_the_formatter_has_nothing_to_do() -> None:
    """Layout is not discussed either."""
    run_tool(str(SCRIPTS / "ruff"), "format", "--check", "--quiet")


def test_no_test_sleeps() -> None:
    """A test waits for a condition, or is handed the time; a bare yield to the loop is allowed.

    Simulated time passes by what looks like sleeping, at once.
    """
    sleepers = [
        f"{path}:{call.lineno}: {ast.unparse(call)}"
        for path, tree in modules().items()
        if path.parts[0] == "tests" and path.parts[:2] != ("tests", "simulated")
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and is_sleep(call)
    ]

    assert sleepers == []


def is_sleep(call: ast.Call) -> bool:
    """Whether a call lets time pass."""
    name = ast.unparse(call.func)
    is_yield = [ast.unparse(argument) for argument in call.args] == ["0"]
    return name in {"time.sleep", "asyncio.sleep", "sleep"} and not is_yield


def test_no_path_of_a_developers_machine_is_in_the_project() -> None:
    """It works from any folder; homes on rented machines are another matter."""
    rented = r"(?!ubuntu/|user/|root/)"

    assert matches(rf"(?<![\w.~:-])/(?:home|Users)/{rented}[A-Za-z]") == []
    assert matches(r"(?<![\w.~:/-])/(?:work|build|builds|farm|mnt)/[A-Za-z]") == []
    assert matches(r"/root/\.(?!ssh\b)\w") == []


def test_no_package_registry_is_named() -> None:
    """Where packages come from is the business of whoever installs."""
    hosts = ["py" + "pi.org", "python" + "hosted.org", "np" + "mjs.", "index" + "-url"]

    assert matches("|".join(map(re.escape, hosts))) == []


def test_no_history_and_no_promises_stand_in_the_code() -> None:
    """What was lives in git, what will be in the issues."""
    assert matches(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b|\b(?:[Bb]ug|[Ii]ssue) #\d") == []


def test_documents_refer_only_to_what_exists() -> None:
    """No link of a document leads to a missing file."""
    link = re.compile(r"\]\((?!https?://|mailto:|#)([^)#\s]+)")
    broken = [
        f"{path}: {target}"
        for path, text in texts().items()
        if path.suffix == ".md"
        for target in link.findall(text)
        if not (ROOT / path.parent / target).exists()
    ]

    assert broken == []


def test_yes_or_no_names_answer_yes_or_no() -> None:
    """`is_`, `has_` and `can_` promise a bool."""
    liars = [
        f"{path}:{function.lineno} {function.name}"
        for path, tree in modules().items()
        for function in functions(tree)
        if re.match(r"_?(?:is|has|can)_", function.name)
        and not re.match(r"(?:bool|TypeGuard|TypeIs)\b", unparse(function.returns))
    ]

    assert liars == []


def unparse(node: ast.expr | None) -> str:
    """The source text of an annotation; empty where there is none."""
    return ast.unparse(node) if node else ""


def test_words_have_one_meaning() -> None:
    """Instances are destroyed and sessions end; no second word for a thing of ours."""
    wrong = {"zombie", "leaked", "purge", "rental", "pod", "vendor", "manager", "utils", "misc"}
    names = [
        (path, node.name)
        for path, tree in product().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef | Function)
    ] + [(path, path.stem) for path in product()]
    crossed = re.compile(
        r"(?:destroy|kill|terminate)_(?:the_)?sessions?\b"
        r"|(?:end|reap|kill|terminate|delete)_(?:the_)?(?:instance|machine)s?\b"
    )

    assert [pair for pair in names if words(pair[1]) & wrong or crossed.search(pair[1])] == []


def test_nothing_above_the_adapters_knows_a_provider_by_name() -> None:
    """What differs between providers is data: their capabilities. Examples are for readers."""
    providers = {"vastai", "tensordock", "simulator"}
    may_name = {"app", "app.py", "cli", "config"}
    told = [
        f"{path}:{node.lineno} {node.value}"
        for path, tree in product().items()
        if path.parts[0] == "broker" and path.parts[1] not in may_name
        for node in without_examples(tree)
        if isinstance(node, ast.Constant) and node.value in providers
    ]

    assert told == []


def without_examples(node: ast.AST) -> Iterator[ast.AST]:
    """Every node but those that an argument `examples` is made of."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.keyword) and child.arg == "examples"):
            yield from without_examples(child)


def test_the_wheel_holds_the_two_packages_and_nothing_else() -> None:
    """The patterns of the build take no folder of code beside the packages."""
    build = tomllib.loads(texts()[Path("pyproject.toml")])["tool"]["setuptools"]
    patterns = build["packages"]["find"]["include"]
    folders = {path.parts[0] for path in modules() if len(path.parts) > 1}

    taken = {name for name in folders if any(fnmatch.fnmatchcase(name, p) for p in patterns)}

    assert taken == {"broker", "providers"}


@pytest.mark.parametrize("package", ["broker", "providers"])
def test_the_data_of_a_package_is_in_its_patterns(package: str) -> None:
    """A file that is no module reaches the wheel only when the build is told of it."""
    build = tomllib.loads(texts()[Path("pyproject.toml")])["tool"]["setuptools"]
    patterns = build["package-data"][package]
    data = [path for path in project_files() if path.parts[0] == package and path.suffix != ".py"]
    inside = [path.relative_to(package).as_posix() for path in data]

    assert [n for n in inside if not any(fnmatch.fnmatchcase(n, p) for p in patterns)] == []
