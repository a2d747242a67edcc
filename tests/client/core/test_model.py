"""The stateful model of a client among its servers, for a few seconds; ``make model`` runs it long."""

from hypothesis import settings

from tests.client.core.model import Life

TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
