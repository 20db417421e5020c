"""A faithful simulated provider over HTTP, with its own bill."""
