from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

import costsvc

ROOT = Path(costsvc.__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKS = ("requirements.lock", "protos/requirements.lock", "benchmarks/router/requirements.lock")
FIRST_SCREEN_LINES = 24
# Written so that this file does not match itself.
MACHINE_PATH = re.compile(r"(?<![\w.~$)}/-])/(?:home|Users|root|work|mnt|workspace)/\w")


def files() -> Iterator[Path]:
    """Yield what belongs to the project: everything that .gitignore does not leave out."""
    lines = (ROOT / ".gitignore").read_text().split()
    ignored = [line.strip("/") for line in lines if not line.startswith(("!", "#"))]
    kept = {ROOT / line[1:].strip("/") for line in lines if line.startswith("!")}
    for folder, folders, names in os.walk(ROOT):
        here = Path(folder)
        folders[:] = [
            name
            for name in folders
            if name != ".git" and (here / name in kept or not any(fnmatch(name, p) for p in ignored))
        ]
        for name in names:  # .git is a file in a tree beside the first one
            if name != ".git" and not any(fnmatch(name, p) for p in ignored):
                yield here / name


def requirements(lock: str) -> list[str]:
    """Return the requirements of a lock file, each as one line with its hashes."""
    text = (ROOT / lock).read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def name_of(requirement: str) -> str:
    """Return the normalised name of a requirement."""
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0].lower().replace("_", "-").replace(".", "-")


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_and_hashes_everything(lock: str) -> None:
    """Every requirement has one version and at least one hash."""
    found = requirements(lock)
    assert found
    for line in found:
        assert re.match(r"[A-Za-z0-9._-]+(\[[a-z0-9,-]+\])?==\S+ ", line), line
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", line), line


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_says_nothing_about_where_it_was_made(lock: str) -> None:
    """No index, host or path: whoever installs brings their own."""
    text = (ROOT / lock).read_text()
    assert "://" not in text
    options = set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", re.sub(r"#.*", "", text)))
    assert options <= {"--hash"}
    for line in requirements(lock):
        assert " @ " not in line
    assert not re.search(r"index-url|find-links|trusted-host", text)


def test_the_lock_has_what_the_project_asks_for() -> None:
    """Every dependency, of every extra, at a version that it allows."""
    locked = {name_of(line): line.split()[0].split("==")[1] for line in requirements("requirements.lock")}
    extras = PROJECT["optional-dependencies"].values()
    for wanted in (*PROJECT["dependencies"], *(line for extra in extras for line in extra)):
        assert name_of(wanted) in locked, wanted
        if "==" in wanted:
            assert locked[name_of(wanted)] == wanted.split("==")[1]


def test_every_dependency_says_why_it_is_there() -> None:
    """One line of the decisions each, and no line for what is gone; the same for the generator's own."""
    page = (ROOT / "docs/decisions.md").read_text()
    rows = set(re.findall(r"^\| ([a-z][a-z0-9-]*) \| \S", page, re.MULTILINE)) - {"package"}
    extras = PROJECT["optional-dependencies"].values()
    wanted = {
        name_of(line) for line in (*PROJECT["dependencies"], *(line for extra in extras for line in extra))
    }
    assert rows == wanted
    for apart in ("protos/requirements.in", "benchmarks/router/requirements.in"):
        for line in (ROOT / apart).read_text().split():
            name, version = line.split("==")
            assert f"`{name}` {version}" in page


def test_no_file_knows_the_machine_it_was_made_on() -> None:
    """An absolute path of a home or a workspace works for nobody else."""
    found = []
    for path in files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        places = [*MACHINE_PATH.findall(text), *([str(ROOT)] if f"{ROOT}/" in text else [])]
        if places:
            found.append((path.relative_to(ROOT), places))
    assert not found


def test_the_readme_begins_with_the_two_commands() -> None:
    """Whoever opens it sees how to run it and how to test it without scrolling."""
    screen = (ROOT / "README.md").read_text().splitlines()[:FIRST_SCREEN_LINES]
    commands = [line.split("#")[0].strip() for line in screen]
    assert "make run" in commands
    assert "make test" in commands


def test_the_links_of_the_pages_lead_somewhere() -> None:
    """Every relative link of README and docs names a file."""
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), (page.name, target)


def test_make_has_what_is_promised() -> None:
    """The targets that the pages speak of exist, and the gate runs the README's test command."""
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert {"run", "test", "demo", "proto", "lint", "bench"} <= targets
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        assert set(re.findall(r"`make ([a-z-]+)`", page.read_text())) <= targets, page.name
    gate = ROOT / ".ci/run"
    assert os.access(gate, os.X_OK)
    assert "make test" in gate.read_text().splitlines()


def test_the_licence_is_there() -> None:
    """Apache 2.0, as the project's metadata says."""
    assert PROJECT["license"] == "Apache-2.0"
    assert PROJECT["license-files"] == ["LICENSE"]
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text


def test_the_versions_are_one() -> None:
    """The floor of Python is the same for the installer, the linter and the Makefile."""
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert PROJECT["requires-python"] == ">=3.11"
    assert whole["tool"]["ruff"]["target-version"] == "py311"
    assert "(3, 11)" in (ROOT / "Makefile").read_text()


def test_every_ignored_rule_has_its_reason() -> None:
    """A linter's rule is switched off in the open: each line of an ignore list ends with why."""
    text = (ROOT / "pyproject.toml").read_text()
    lint = text[text.index("[tool.ruff.lint]") :]
    lines = re.findall(r'^  "[A-Z0-9]+",.*$', lint, re.MULTILINE)
    assert len(lines) > 20
    assert not [line for line in lines if " # " not in line]
