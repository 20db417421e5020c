"""What a policy may add to a request so that its answer comes out shorter, where the caller is silent.

Only what the model takes, by the catalogue, and what cannot break what the caller relies on. What the caller
wrote stays as it is, byte for byte; additions stand behind it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

from costsvc.core.constraints import Needs, thinking_problem
from costsvc.core.json_text import Member, to_json
from costsvc.core.length import Length
from costsvc.core.model import Model
from costsvc.core.request import ModelRequest

_RUNS_TOOLS = ("tools", "mcp_servers", "container")
_CITATIONS = '"citations"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One addition: `value` at a dotted path of the body; `code` and `detail` are its reason."""

    code: str
    detail: str
    path: str
    value: Any

    @property
    def key(self) -> str:
        """What tells it from the same lever of another policy: short, because many are remembered."""
        return f"{self.path}={crc32(to_json(self.value).encode())}"

    @property
    def adds_to_prompt(self) -> bool:
        """Whether the model reads more with it."""
        return self.path == "output_config.format"


def shapes_for(length: Length, request: ModelRequest, needs: Needs, model: Model) -> tuple[Shape, ...]:
    """Return what is added on a model, in the order of the chain."""
    shapes: list[Shape] = []
    for make in (_schema, _thinking_off, _effort, _stop_sequences):
        shape = make(length, request, needs, model)
        if shape is not None:
            shapes.append(shape)
            needs = needs_with(needs, [shape])
    return tuple(shapes)


def add(request: ModelRequest, shapes: Sequence[Shape]) -> ModelRequest:
    """Return the request with its additions."""
    if not shapes:
        return request
    members = dict(request.members)
    for shape in shapes:
        outer, _, inner = shape.path.partition(".")
        members[outer] = _extended(members.get(outer), inner, shape.value) if inner else Member(shape.value)
    return replace(request, members=members)


def needs_with(needs: Needs, shapes: Sequence[Shape]) -> Needs:
    """Return what a request needs of a model with its additions."""
    for shape in shapes:
        match shape.path:
            case "output_config.format":
                needs = replace(needs, structured_output=True)
            case "output_config.effort":
                needs = replace(needs, effort=shape.value)
            case "thinking":
                needs = replace(needs, thinking=shape.value["type"])
    return needs


def may_think(needs: Needs, model: Model, *, has_tools: bool) -> bool:
    """Tell whether the answer may hold thinking, which counts as output."""
    if needs.thinking == "":
        return model.capabilities.thinks_unasked
    return needs.thinking != "disabled" and not (needs.thinking == "between_tools" and not has_tools)


def has_tools(request: ModelRequest) -> bool:
    """Tell whether the model may call anything."""
    return any(request.get(name) for name in _RUNS_TOOLS)


def stands_a_cut(request: ModelRequest, needs: Needs) -> bool:
    """Tell whether a beginning of the answer is as good as the whole, as far as the request shows it."""
    is_checked = request.checks is not None and not request.checks.stand_a_cut
    return not (is_checked or needs.structured_output or has_tools(request))


def _schema(length: Length, request: ModelRequest, needs: Needs, model: Model) -> Shape | None:
    """Ask for JSON: not of a prefill, of cited documents, or where other text is expected or checked."""
    if length.json_schema is None or needs.structured_output or needs.prefill or has_tools(request):
        return None
    is_checked = request.checks is not None and request.checks.look_at_the_text
    is_cited = _CITATIONS in request.members["messages"].text
    if is_checked or is_cited or not model.capabilities.structured_output:
        return None
    form = {"type": "json_schema", "schema": length.json_schema}
    detail = f"the task's, {len(to_json(length.json_schema))} characters"
    return Shape(code="schema_added", detail=detail, path="output_config.format", value=form)


def _thinking_off(length: Length, request: ModelRequest, needs: Needs, model: Model) -> Shape | None:
    can = model.capabilities
    if not length.thinking_off or request.get("thinking") is not None or not can.thinks_unasked:
        return None
    kinds = ("disabled",) if has_tools(request) else ("disabled", "between_tools")
    for kind in kinds:
        if not thinking_problem(model, replace(needs, thinking=kind)):
            detail = f"thinking {kind}, by the task's policy"
            return Shape(code="thinking_off", detail=detail, path="thinking", value={"type": kind})
    return None


def _effort(length: Length, request: ModelRequest, needs: Needs, model: Model) -> Shape | None:
    """Set the effort; the model's own default is left unsaid, which is the same to it."""
    default = model.capabilities.default_effort
    config = request.get("output_config") or {}
    if not length.effort or config.get("effort") or default in {"", length.effort}:
        return None
    if thinking_problem(model, replace(needs, effort=length.effort)):
        return None
    detail = f"{length.effort} instead of {default}"
    return Shape(code="effort_set", detail=detail, path="output_config.effort", value=length.effort)


def _stop_sequences(length: Length, request: ModelRequest, needs: Needs, model: Model) -> Shape | None:
    del model  # every model takes them
    if not length.stop_sequences or request.get("stop_sequences") or not stands_a_cut(request, needs):
        return None
    detail = f"{len(length.stop_sequences)} of the task's"
    sequences = list(length.stop_sequences)
    return Shape(code="stop_sequences_added", detail=detail, path="stop_sequences", value=sequences)


def _extended(member: Member | None, name: str, value: Any) -> Member:
    """Return an object with one more member at its end."""
    before: Mapping[str, Any] = (member.value if member else None) or {}
    after = {**before, name: value}
    if member is None or not before or name in before:
        return Member(after)
    head = member.text[: member.text.rindex("}")]
    return Member(after, f"{head},{to_json(name)}:{to_json(value)}}}")
