"""The store: Redis or Valkey, and the scripts that keep money exact in it."""
