"""Scores the local router on recorded outcomes of public benchmarks."""
