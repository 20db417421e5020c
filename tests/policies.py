"""The shipped policy for tests of other things than stored answers: each call asks the provider."""

from __future__ import annotations

import re

from costsvc.data import read_text

_NAMESPACE = re.compile(r"^\[response_cache\..*\n([^\[\n].*\n)+", re.MULTILINE)


def uncached() -> str:
    """Return the shipped policy without its namespaces."""
    return _NAMESPACE.sub("", read_text("policy.toml"))
