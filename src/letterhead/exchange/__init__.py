"""The conversation of protocol section 4 without I/O: bytes and times in, events and bytes out."""
