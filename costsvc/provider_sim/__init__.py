"""A faithful simulated provider over HTTP, with its own meter, rate card and bill: demos, tests, benchmarks.

`start` runs one inside an event loop, `serve` runs one as a program. It shares no code and no data with the
service that is tested against it.
"""

from __future__ import annotations

from .bill import Bill, Line
from .faults import Fault, Faults
from .server import RunningSim, serve, start

__all__ = ["Bill", "Fault", "Faults", "Line", "RunningSim", "serve", "start"]
