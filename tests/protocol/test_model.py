"""The stateful model of one connection, for a few seconds; ``make model`` runs it long."""

from hypothesis import settings

from tests.protocol.model import Connection

TestConnection = Connection.TestCase
TestConnection.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
