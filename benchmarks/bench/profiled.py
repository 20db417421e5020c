"""`costsvc` under cProfile, from SIGUSR1 to its end, so that start-up is left out.

python -m benchmarks.bench.profiled FILE serve ...
"""

from __future__ import annotations

import cProfile
import signal
import sys

from costsvc.cli import main

if __name__ == "__main__":
    profile, out = cProfile.Profile(), sys.argv.pop(1)
    signal.signal(signal.SIGUSR1, lambda *_: profile.enable())
    try:
        main()
    finally:
        profile.disable()
        profile.dump_stats(out)
