"""The Upstream port on the anthropic SDK."""
