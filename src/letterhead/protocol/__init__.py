"""The conversation of one connection, without I/O; see docs/design.md."""
