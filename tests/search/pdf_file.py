"""Small PDF, made by hand."""

from collections.abc import Sequence


def pdf(pages: Sequence[str], title: str = "") -> bytes:
    """A PDF with these pages, each of lines in ASCII, and a title if there is one."""
    streams = []
    for page in pages:
        lines = " 0 -14 Td ".join(f"({line}) Tj" for line in page.split("\n"))
        streams.append(f"BT /F1 12 Tf 72 720 Td {lines} ET".encode())
    return pdf_of(streams, title)


def pdf_of(streams: Sequence[bytes], title: str = "", extra: bytes = b"") -> bytes:
    """A PDF whose pages have these content streams; ``extra`` stands in the dictionary of each."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"", b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for stream in streams:
        kids.append(b"%d 0 R" % (len(objects) + 1))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> "
            b"/Contents %d 0 R >>" % (len(objects) + 2)
        )
        objects.append(b"<< /Length %d %b >>\nstream\n%b\nendstream" % (len(stream), extra, stream))
    objects[1] = b"<< /Type /Pages /Kids [%b] /Count %d >>" % (b" ".join(kids), len(kids))
    objects.append(b"<< /Title (%b) >>" % title.encode("latin-1"))
    data, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(b"%010d 00000 n \n" % len(data))
        data += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    count = len(objects) + 1
    table = b"xref\n0 %d\n0000000000 65535 f \n%b" % (count, b"".join(places))
    trailer = b"trailer << /Size %d /Root 1 0 R /Info %d 0 R >>" % (count, len(objects))
    return data + table + trailer + b"\nstartxref\n%d\n%%%%EOF\n" % len(data)
