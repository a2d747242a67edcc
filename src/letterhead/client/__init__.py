"""The clients; see docs/design.md."""
