"""Bytes ⇄ frames, without sockets, clock or event loop (protocol section 1)."""
