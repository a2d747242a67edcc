"""The blocking client; see docs/design.md."""
