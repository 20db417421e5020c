"""Pure decisions: nothing here imports more than the standard library and this package."""
