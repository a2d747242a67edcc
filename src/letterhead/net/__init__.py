"""Sockets and event loops: thin shells around the floors below."""
