from __future__ import annotations

import ast
from pathlib import Path

import costsvc

PACKAGE = Path(costsvc.__file__).parent


def imported(path: Path) -> set[str]:
    """Return the absolute names of the modules that a file imports."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(parts[: -node.level]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return names


def test_the_simulator_imports_nothing_of_the_service() -> None:
    """Two bills that agree are evidence only if they share no code."""
    for path in (PACKAGE / "provider_sim").rglob("*.py"):
        ours = {name for name in imported(path) if name.split(".")[0] == "costsvc"}
        assert all(name.startswith("costsvc.provider_sim") for name in ours), path


def test_the_decisions_and_adapters_import_nothing_of_the_simulator() -> None:
    """The service does not know what charges it."""
    for folder in ("core", "app", "store", "upstream"):
        for path in (PACKAGE / folder).rglob("*.py"):
            assert not any(name.startswith("costsvc.provider_sim") for name in imported(path)), path


def test_the_simulator_reads_no_data_file() -> None:
    """Rates and models are typed in its own modules."""
    folder = PACKAGE / "provider_sim"
    assert {path.suffix for path in folder.iterdir() if path.is_file()} == {".py"}
