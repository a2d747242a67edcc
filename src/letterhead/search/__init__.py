"""Search over folders of text files: documents, an index over them in one SQLite file, and queries to it."""
