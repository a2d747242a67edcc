"""Sockets and pipes; see docs/design.md."""
