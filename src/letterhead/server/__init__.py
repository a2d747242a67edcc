"""The server; see docs/design.md."""
