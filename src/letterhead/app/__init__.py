"""Applications: names → handlers, arguments checked against type hints, and where a handler runs. No sockets."""
