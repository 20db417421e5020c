"""`python -m benchmarks.bench`: the service measured against what it is built on, beside its targets."""
