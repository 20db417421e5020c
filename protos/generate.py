"""Generate the Python stubs, and the image that buf checks.

Usage: python protos/generate.py [--image FILE]

The stubs are made by an old protoc (its own virtual environment, see the Makefile), so that callers with an
older protobuf can use them. The definitions of `buf.validate` come from the installed validator as a
descriptor, so no copy of their text lives here; their generated module is kept under `costsvc._vendor`, where
it cannot collide with another package's.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import google.rpc
from google.protobuf import descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2
from protovalidate._gen.buf.validate import validate_pb

ROOT = Path(__file__).resolve().parent.parent
PROTOC = [str(ROOT / ".venv-proto/bin/python"), "-m", "grpc_tools.protoc"]
GOOGLE_PROTOS = Path(google.rpc.__path__[0]).parent.parent
OURS = sorted(str(path.relative_to(ROOT / "protos")) for path in (ROOT / "protos/costsvc").rglob("*.proto"))
VENDORED = ROOT / "costsvc/_vendor"


def main() -> None:
    """Generate the stubs, or only an image with --image."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--image", type=Path, help="write only a descriptor image for buf")
    image: Path | None = arguments.parse_args().image
    with tempfile.TemporaryDirectory() as scratch:
        rules = Path(scratch) / "rules.binpb"
        rules.write_bytes(validation_rules().SerializeToString())
        if image:
            flags = [f"--descriptor_set_out={image}", "--include_imports", "--include_source_info"]
            protoc(rules, *flags, *OURS)
        else:
            stubs(rules)


def validation_rules() -> descriptor_pb2.FileDescriptorSet:
    """Return the descriptors of buf.validate and what it imports."""
    files = descriptor_pb2.FileDescriptorSet()
    for module in (descriptor_pb2, duration_pb2, timestamp_pb2, field_mask_pb2):
        module.DESCRIPTOR.CopyToProto(files.file.add())
    files.file.append(descriptor_pb2.FileDescriptorProto.FromString(validate_pb.desc().proto.to_binary()))
    return files


def protoc(rules: Path, *arguments: str) -> None:
    """Run protoc over our protos, the rules' descriptors and the googleapis protos."""
    paths = [f"--descriptor_set_in={rules}", f"-I{ROOT / 'protos'}", f"-I{GOOGLE_PROTOS}"]
    subprocess.run([*PROTOC, *paths, *arguments], check=True, cwd=ROOT)  # noqa: S603 - fixed arguments


def stubs(rules: Path) -> None:
    """Write the messages, their types and the service stubs, and vendor buf.validate's messages."""
    plugin = Path(sys.executable).parent / "protoc-gen-mypy_grpc"
    services = [name for name in OURS if name.endswith("_service.proto")]
    protoc(rules, f"--python_out={ROOT}", f"--pyi_out={ROOT}", *OURS)
    protoc(
        rules,
        f"--plugin=protoc-gen-mypy_grpc={plugin}",
        f"--grpc_python_out={ROOT}",
        f"--mypy_grpc_out={ROOT}",
        *services,
    )
    (VENDORED / "buf/validate").mkdir(parents=True, exist_ok=True)
    protoc(rules, f"--python_out={VENDORED}", "buf/validate/validate.proto")
    for stub in (ROOT / "costsvc/v1").glob("*_pb2*.py*"):
        text = stub.read_text()
        stub.write_text(re.sub(r"from buf\.validate import", "from costsvc._vendor.buf.validate import", text))


if __name__ == "__main__":
    main()
