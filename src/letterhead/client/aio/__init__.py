"""The async client; see docs/design.md."""
