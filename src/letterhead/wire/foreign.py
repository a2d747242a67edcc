"""Other protocols, recognised by their first bytes, so that a message can name what was met instead of a frame.

What is done with a peer that speaks one of them is not known here.
"""

_HTTP = (b"GET ", b"POST", b"PUT ", b"HEAD", b"DELE", b"OPTI", b"PATC", b"CONN", b"TRAC", b"PRI ")


def protocol_named(start: bytes) -> str | None:
    """``"an HTTP request"`` and the like, with its article; None where the bytes look like nothing known."""
    if start.startswith(_HTTP):
        return "an HTTP request"
    if start.startswith(b"HTTP/"):
        return "an HTTP answer"
    if start.startswith((b"\x16\x03", b"\x15\x03")):
        return "TLS"
    if start.startswith(b"SSH-"):
        return "SSH"
    if start.startswith((b"220 ", b"220-")):
        return "an SMTP or FTP greeting"
    if start.startswith((b"+OK", b"-ERR", b"*1\r\n", b"$-1\r\n")):
        return "Redis or POP3"
    return None
