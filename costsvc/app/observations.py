"""What this process has learned from real usage: prompt and answer lengths, and how often checks failed."""

from __future__ import annotations

from costsvc.core.calibration import Calibration
from costsvc.core.cascade import FailureRates
from costsvc.core.content import Content
from costsvc.core.lengths import Lengths
from costsvc.core.model import Model
from costsvc.core.tokens import (
    INPUT_PRIOR,
    OUTPUT_PRIOR,
    Expectation,
    TokenEstimate,
    calibrate_input,
    expect_output,
    expected_input,
    observe_input,
    observe_output,
)
from costsvc.core.usage import Usage


class Observations:
    """Running corrections of estimates; bounded, and lost with the process, which then starts from priors."""

    def __init__(self) -> None:
        self._input = Calibration(INPUT_PRIOR)
        self._output = Calibration(OUTPUT_PRIOR)
        self.failure_rates = FailureRates()
        self.lengths = Lengths()

    def expect_input(self, tenant: str, model: str, estimate: TokenEstimate) -> Expectation:
        """Return the prompt tokens to expect, corrected by what this tenant's prompts really were."""
        return calibrate_input(self._input, tenant, model, estimate)

    def expected_tokens(
        self, tenant: str, model: Model, task: str, content: Content, max_tokens: int
    ) -> Usage:
        """Return the usage to expect of a call, nothing cached."""
        output = self._output.band((tenant, model.id, task)).expected
        return Usage(
            input_tokens=expected_input(self._input, tenant, content, model),
            output_tokens=min(round(output), max_tokens),
        )

    def expect_output(self, tenant: str, model: str, task: str, max_tokens: int) -> Expectation:
        """Return the answer's tokens to expect, at most `max_tokens`."""
        return expect_output(self._output, tenant, model, task, max_tokens)

    def learn(self, tenant: str, model: str, task: str, estimate: TokenEstimate, usage: Usage) -> None:
        """Correct the estimates by one answered call."""
        observe_input(self._input, tenant, model, estimate, usage.prompt_tokens)
        observe_output(self._output, tenant, model, task, usage.output_tokens)
