"""A client after `fork`: the child connects anew, and the parent's connection is unharmed."""

import os

import pytest

from letterhead import App, Client
from tests.net.conftest import Serve


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_has_a_connection_of_its_own(serve: Serve) -> None:
    app = App()

    @app.action
    async def echo(value: int) -> int:
        return value

    with serve(app, "127.0.0.1:0") as served, Client(served.server.addresses[0], timeout=10.0) as client:
        assert client.call("echo", 1) == 1
        for _ in range(3):
            child = os.fork()
            if not child:
                os._exit(0 if [client.call("echo", n) for n in range(20)] == list(range(20)) else 1)
            assert [client.call("echo", n) for n in range(20)] == list(range(20))
            _, status = os.waitpid(child, 0)
            assert status == 0
        assert served.server.shared.counters.accepted == 4
