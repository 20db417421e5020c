"""Policies of prompt caching, compared over days of virtual time."""
