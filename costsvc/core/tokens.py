"""How many tokens a request will cost to read, without asking anyone: an estimate and a provable bound.

The estimate goes by kinds of characters, image sizes, and what the provider adds out of sight. The bound
rests on one fact, that no token is shorter than a byte, and on stated allowances for what is out of sight.
Bills never come from here: holds do, and are settled by what the provider reports.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import mul

from costsvc.core.calibration import Band, Calibration
from costsvc.core.content import Content, measure
from costsvc.core.images import Size, count_image_tokens, count_patches
from costsvc.core.model import Model

__all__ = [
    "INPUT_PRIOR",
    "OUTPUT_PRIOR",
    "Calibration",
    "Content",
    "Expectation",
    "TokenEstimate",
    "calibrate_input",
    "estimate_input",
    "expect_output",
    "is_shorter",
    "measure",
    "observe_input",
    "observe_output",
]

INPUT_PRIOR = Band(expected=1.0, upper=1.5)
"""Before any call is seen: the estimate as it is, and half as much again for the upper quantile."""

OUTPUT_PRIOR = Band(expected=400.0, upper=4_000.0)
"""Before any answer is seen: tokens of an ordinary answer, and of a long one."""

_REQUEST_TOKENS, _REQUEST_BOUND = 3, 64  # around the whole
_MESSAGE_TOKENS, _MESSAGE_BOUND = 4, 16  # the marks of each turn
_BLOCK_BOUND = 8
_TOOL_BOUND = 64  # around each definition
_PROVIDER_TOOL_TOKENS, _PROVIDER_TOOL_BOUND = 700, 7_000  # definitions that only the provider has
_FORMAT_TOKENS, _FORMAT_BOUND = 150, 1_000  # the prompt that structured output adds


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEstimate:
    """Input tokens of one prompt on one model.

    `bound` is provable for `bounded` estimates: a single reading of the prompt never exceeds it. Where the
    provider may read more, `bound` is a full context window, and even that once for each turn of its tools.
    """

    expected: int
    bound: int
    bounded: bool = True


@dataclass(frozen=True, slots=True)
class Expectation:
    """Tokens to expect, and a number that about one call in a hundred exceeds."""

    expected: int
    upper: int


def estimate_input(content: Content, model: Model) -> TokenEstimate:
    """Return the expected input tokens of a content on a model, and their bound."""
    expected = _expected_tokens(content, model)
    bound = model.context_tokens if content.unbounded else min(_bound(content, model), model.context_tokens)
    return TokenEstimate(expected=min(expected, bound), bound=bound, bounded=not content.unbounded)


def is_shorter(content: Content, tokens: int) -> bool:
    """Tell at first sight that a prompt has fewer tokens on any model; False says nothing."""
    is_plain = not (
        content.unbounded or content.tool_count or content.structured_output or content.image_sizes
    )
    return is_plain and _text_bound(content) < tokens


def calibrate_input(
    calibration: Calibration, tenant: str, model: str, estimate: TokenEstimate
) -> Expectation:
    """Return an estimate corrected by what this tenant's calls of this model really read."""
    band = calibration.band((tenant, model))
    upper = estimate.expected * band.upper
    expected = min(round(estimate.expected * band.expected), estimate.bound)
    return Expectation(expected, max(expected, min(int(upper) + 1, estimate.bound)))


def expected_input(calibration: Calibration, tenant: str, content: Content, model: Model) -> int:
    """Return what `calibrate_input` expects, without the bound where that cannot matter.

    The bound is never below the bytes of the text, so below those it does not bind.
    """
    tokens = _expected_tokens(content, model)
    calibrated = round(tokens * calibration.band((tenant, model.id)).expected)
    if tokens <= content.byte_count and calibrated <= content.byte_count:
        return calibrated
    return calibrate_input(calibration, tenant, model.id, estimate_input(content, model)).expected


def observe_input(
    calibration: Calibration, tenant: str, model: str, estimate: TokenEstimate, prompt_tokens: int
) -> None:
    """Learn from a call: what it was estimated to read, and what it read.

    Calls whose reading is not bounded by the request say nothing about the estimate and are left out, and
    so are those that read nothing.
    """
    if estimate.bounded and prompt_tokens > 0:
        calibration.observe((tenant, model), prompt_tokens / max(estimate.expected, 1))


def expect_output(
    calibration: Calibration, tenant: str, model: str, task: str, max_tokens: int
) -> Expectation:
    """Return the output tokens to expect, by earlier answers to this task, never above the cap."""
    key = tenant, model, task
    expected, upper = calibration.band(key).expected, calibration.upper(key, max_tokens)
    return Expectation(min(round(expected), max_tokens), min(int(upper) + 1, max_tokens))


def observe_output(calibration: Calibration, tenant: str, model: str, task: str, output_tokens: int) -> None:
    """Learn the length of an answer."""
    calibration.observe((tenant, model, task), output_tokens)


def _expected_tokens(content: Content, model: Model) -> int:
    tokens: int = (
        -(-sum(map(mul, content.kind_counts, model.tokenizer.tokens_per_1000_chars)) // 1000)
        + content.document_tokens
        + _REQUEST_TOKENS
        + _MESSAGE_TOKENS * content.message_count
    )
    if content.tool_count or content.structured_output:
        tokens += (
            _PROVIDER_TOOL_TOKENS * content.provider_tool_count
            + _FORMAT_TOKENS * content.structured_output
            + _tool_prompt_tokens(content, model)
        )
    if content.image_sizes:
        tokens += sum(_image_tokens(size, model) for size in content.image_sizes)
    return tokens


def _tool_prompt_tokens(content: Content, model: Model) -> int:
    if not content.tool_count:
        return 0
    return model.forced_tool_prompt_tokens if content.forced_tool_choice else model.tool_prompt_tokens


def _image_tokens(size: Size | None, model: Model) -> int:
    """Return an image's tokens; those of the largest image where the size is not known."""
    tokenizer = model.tokenizer
    if size is None:
        return tokenizer.image_max_tokens
    return count_image_tokens(
        size, max_edge_pixels=tokenizer.image_max_edge_pixels, max_tokens=tokenizer.image_max_tokens
    )


def _text_bound(content: Content) -> int:
    return (
        content.byte_count
        + _REQUEST_BOUND
        + _MESSAGE_BOUND * content.message_count
        + _BLOCK_BOUND * content.block_count
    )


def _bound(content: Content, model: Model) -> int:
    most = model.tokenizer.image_max_tokens
    return (
        _text_bound(content)
        + _TOOL_BOUND * content.tool_count
        + _FORMAT_BOUND * content.structured_output
        + _tool_prompt_tokens(content, model)
        + sum(min(count_patches(size), most) if size else most for size in content.image_sizes)
    )
