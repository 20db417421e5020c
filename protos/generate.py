"""Generate the Python stubs, and the image that buf checks.

Usage: python protos/generate.py [--image FILE] [--out DIR]

The stubs are made by an old protoc (its own virtual environment, see the Makefile), so that callers with an
older protobuf can use them. The definitions of `buf.validate` come from the installed validator as a
descriptor, so no copy of their text lives here. The stubs do not import them: the rules stay in the options
as unknown fields, where the validator still finds them, and no other copy of them in a caller's process can
clash with ours.
"""

from __future__ import annotations

import argparse
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
RULES = "buf/validate/validate.proto"


def main() -> None:
    """Generate the stubs, or only an image with --image."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--image", type=Path, help="write only a descriptor image for buf")
    arguments.add_argument("--out", type=Path, default=ROOT, help="the root below which stubs are written")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        image = chosen.image or Path(scratch) / "image.binpb"
        write_image(image, Path(scratch))
        if not chosen.image:
            write_stubs(image, Path(scratch), chosen.out)


def write_image(image: Path, scratch: Path) -> None:
    """Write our files and all they import, with comments, as one descriptor set."""
    rules = scratch / "rules.binpb"
    rules.write_bytes(validation_rules().SerializeToString())
    protoc(
        f"--descriptor_set_in={rules}",
        f"-I{ROOT / 'protos'}",
        f"-I{GOOGLE_PROTOS}",
        "--include_imports",
        "--include_source_info",
        f"--descriptor_set_out={image}",
        *OURS,
    )


def validation_rules() -> descriptor_pb2.FileDescriptorSet:
    """Return the descriptors of buf.validate and what it imports."""
    files = descriptor_pb2.FileDescriptorSet()
    for module in (descriptor_pb2, duration_pb2, timestamp_pb2, field_mask_pb2):
        module.DESCRIPTOR.CopyToProto(files.file.add())
    files.file.append(descriptor_pb2.FileDescriptorProto.FromString(validate_pb.desc().proto.to_binary()))
    return files


def write_stubs(image: Path, scratch: Path, out: Path) -> None:
    """Write messages, their types, and the service stubs."""
    files = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes())
    kept = descriptor_pb2.FileDescriptorSet(file=[without_rules(f) for f in files.file if f.name != RULES])
    stripped = scratch / "stripped.binpb"
    stripped.write_bytes(kept.SerializeToString())
    source = f"--descriptor_set_in={stripped}"
    services = [name for name in OURS if name.endswith("_service.proto")]
    plugin = f"--plugin=protoc-gen-mypy_grpc={Path(sys.executable).parent / 'protoc-gen-mypy_grpc'}"
    protoc(source, f"--python_out={out}", f"--pyi_out={out}", *OURS)
    protoc(source, plugin, f"--grpc_python_out={out}", f"--mypy_grpc_out={out}", *services)


def without_rules(file: descriptor_pb2.FileDescriptorProto) -> descriptor_pb2.FileDescriptorProto:
    """Return the file without its import of the rules; the options themselves stay as bytes."""
    if file.public_dependency or file.weak_dependency:
        raise SystemExit(f"{file.name}: public and weak imports would need their indices moved")
    kept = [name for name in file.dependency if name != RULES]
    del file.dependency[:]
    file.dependency.extend(kept)
    return file


def protoc(*arguments: str) -> None:
    """Run protoc; its own message says what is wrong."""
    subprocess.run([*PROTOC, *arguments], check=True, cwd=ROOT)  # noqa: S603 - fixed arguments


if __name__ == "__main__":
    main()
