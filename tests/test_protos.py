from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from enum import IntEnum
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FileDescriptor

import costsvc
from costsvc import v1
from costsvc.core.errors import Failure
from costsvc.core.request import Tier
from costsvc.core.savings import Savings
from costsvc.core.usage import Usage
from costsvc.v1 import (
    admin_service_pb2,
    batch_service_pb2,
    cost_service_pb2,
    deferred_pb2,
    error_reason_pb2,
    types_pb2,
)

ROOT = Path(costsvc.__file__).parent.parent
BIN = Path(sys.executable).parent
STUBS = ROOT / "costsvc/v1"
MODULES = (
    admin_service_pb2,
    batch_service_pb2,
    cost_service_pb2,
    deferred_pb2,
    error_reason_pb2,
    types_pb2,
)
FILES: list[FileDescriptor] = [module.DESCRIPTOR for module in MODULES]
MESSAGES: list[Descriptor] = [message for file in FILES for message in file.message_types_by_name.values()]
ENUMS: list[EnumDescriptor] = [enum for file in FILES for enum in file.enum_types_by_name.values()]


def run(*command: str | Path) -> str:
    """Run a program in the repository; its output explains a failure."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_proto_file_is_known_here() -> None:
    """A new file belongs into the rules below."""
    written = {str(path.relative_to(ROOT / "protos")) for path in (ROOT / "protos").rglob("*.proto")}
    assert written == {file.name for file in FILES}


def test_the_schema_passes_buf(tmp_path: Path) -> None:
    """STANDARD and COMMENTS: names, numbering, and a comment on everything."""
    image = tmp_path / "image.binpb"
    run(sys.executable, "protos/generate.py", "--image", image)
    run(BIN / "buf", "lint", image, "--config", "buf.yaml", "--path", "costsvc")


def test_the_schema_is_formatted() -> None:
    """`make format` would change nothing."""
    assert run(BIN / "buf", "format", "--diff", "--exit-code", "protos") == ""


def test_regenerating_changes_nothing(tmp_path: Path) -> None:
    """What is committed is what the schema says, byte for byte, and no stub is left over."""
    run(sys.executable, "protos/generate.py", "--out", tmp_path)
    made = {path.name: path.read_bytes() for path in (tmp_path / "costsvc/v1").iterdir()}
    committed = {path.name: path.read_bytes() for path in STUBS.glob("*_pb2*")}
    assert made.keys() == committed.keys()
    assert not [name for name in made if made[name] != committed[name]]


def test_the_stubs_load_on_the_oldest_versions_we_allow() -> None:
    """The versions that the stubs demand are the lower bounds of the base install."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    oldest = dict(line.split(">=") for line in project["dependencies"])
    for path in STUBS.glob("*_pb2.py"):
        demanded = re.search(r"Domain\.PUBLIC,\s*(\d+),\s*(\d+),\s*(\d+)", path.read_text())
        assert demanded is not None
        assert ".".join(demanded.groups()) == oldest["protobuf"]
    for path in STUBS.glob("*_pb2_grpc.py"):
        assert f"GRPC_GENERATED_VERSION = '{oldest['grpcio']}'" in path.read_text()


def test_the_stubs_bring_no_rules_along() -> None:
    """A caller with another version of the rules' definitions can import them all the same."""
    imported = {dependency.name for file in FILES for dependency in file.dependencies}
    assert not [name for name in imported if name.startswith("buf/")]
    assert not [path for path in STUBS.glob("*_pb2*") if "import validate_pb2" in path.read_text()]


def test_every_error_reason_is_sent_and_none_is_unknown() -> None:
    """The tables of statuses and the enum have the same reasons."""
    edge = ROOT / "costsvc/edge"
    trees = [ast.parse(path.read_text()) for path in (*edge.glob("status*.py"), edge / "outcome.py")]
    used = {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    reasons = set(v1.ErrorReason.keys()) - {"ERROR_REASON_UNSPECIFIED"}
    assert {name for name in used if name.startswith("ERROR_REASON_")} == reasons


def test_every_failure_of_the_provider_has_its_reason() -> None:
    """Callers can tell them all apart."""
    from costsvc.edge.status import _PROVIDER

    assert _PROVIDER.keys() == set(Failure)
    assert len({reason for _, reason, _ in _PROVIDER.values()}) == len(Failure)


def test_every_error_reason_is_documented() -> None:
    """With its gRPC code in the schema, and in the page about errors."""
    text = (ROOT / "protos/costsvc/v1/error_reason.proto").read_text()
    page = (ROOT / "docs/errors.md").read_text()
    for name in set(v1.ErrorReason.keys()) - {"ERROR_REASON_UNSPECIFIED"}:
        assert re.search(rf"  // [A-Z_]+: .+\n(  // .+\n)*  {name} = \d+;", text), name
        assert name.removeprefix("ERROR_REASON_") in page, name


def test_tiers_have_the_same_numbers() -> None:
    """They are converted by number."""
    assert issubclass(Tier, IntEnum)
    wire = {name.removeprefix("TIER_"): number for name, number in v1.Tier.items()}
    assert wire.pop("UNSPECIFIED") == 0
    assert wire == {tier.name: tier.value for tier in Tier}


@pytest.mark.parametrize(("message", "value"), [("Usage", Usage), ("Savings", Savings)])
def test_amounts_have_the_same_names(message: str, value: type) -> None:
    """Every class of tokens and every technique is on the wire, under its own name."""
    fields = set(getattr(v1, message).DESCRIPTOR.fields_by_name)
    assert fields >= set(value.__dataclass_fields__) - {"web_search_count"}


def test_every_rpc_has_its_own_messages() -> None:
    """A request or response can grow without touching another RPC."""
    methods = [m for file in FILES for s in file.services_by_name.values() for m in s.methods]
    assert {m.name for m in methods} == {
        "Route",
        "BatchRoute",
        "Complete",
        "StreamComplete",
        "Estimate",
        "BatchEstimate",
        "Record",
        "Release",
        "Report",
        "SetBudget",
        "GetBudget",
        "ListBudgets",
        "DeleteBudget",
        "ListAtRisk",
        "ResolveAtRisk",
        "DeleteTenantData",
        "InvalidateCache",
        "ReportCacheMistake",
        "RecordOutcome",
        "GetRouterStatus",
        "ListPairs",
        "ReportPromptCache",
        "CreateBatch",
        "CreateBatchStream",
        "GetBatch",
        "ListBatches",
        "CancelBatch",
        "StreamBatchResults",
        "Defer",
        "GetDeferred",
        "WatchDeferred",
        "CancelDeferred",
    }
    for method in methods:
        assert method.input_type.name == f"{method.name}Request"
        assert method.output_type.name == f"{method.name}Response"


def test_enums_begin_with_unspecified() -> None:
    """Zero is what nobody said."""
    assert len(ENUMS) >= 5
    for enum in ENUMS:
        assert enum.values_by_number[0].name.endswith("_UNSPECIFIED"), enum.name


def test_numbers_carry_their_unit() -> None:
    """Money is `_nano_usd` and 64 bits wide, times are `_time`, and nothing is a float or a Struct."""
    for message in MESSAGES:
        for field in message.fields:
            assert field.type not in {field.TYPE_FLOAT, field.TYPE_DOUBLE}, (message.name, field.name)
            if field.name.endswith("_usd"):
                assert field.name.endswith("_nano_usd"), (message.name, field.name)
                assert field.type == field.TYPE_INT64, (message.name, field.name)
            if field.message_type is not None:
                assert field.message_type.full_name != "google.protobuf.Struct"
                if field.message_type.full_name == "google.protobuf.Timestamp":
                    assert field.name.endswith("_time"), (message.name, field.name)
