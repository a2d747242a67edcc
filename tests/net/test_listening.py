"""Where a server listens, and what it says where it cannot."""

import asyncio
import errno
import fcntl
import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from letterhead import App, AsyncClient, Client, Limits, ListenFailed, UsageError
from letterhead.server.server import Server
from letterhead.transport.address import Listener, parse
from letterhead.transport.listen import listen_failed
from tests import leaks
from tests.conftest import Run
from tests.net.conftest import Serve
from tests.net.ports import free_port
from tests.net.raw import echo_app

AS_NOBODY = """
import asyncio, os
from letterhead import App, ListenFailed
from letterhead.server.server import Server

async def tried(port):
    async with Server(App(), [f"127.0.0.1:{port}"]):
        pass

asyncio.run(tried(0))  # imports what it needs, which another user may not be able to read
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    asyncio.run(tried(1))
    print("free")
except ListenFailed as error:
    print(error)
"""


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


def asks(address: str) -> str:
    """What a client at this address gets."""
    with Client(address) as client:
        return str(client.call("echo", "answered"))


@pytest.mark.smoke
def test_several_addresses_are_served_by_one_server(serve: Serve, short_path: Path) -> None:
    places = ["127.0.0.1:0", "127.0.0.1:0", f"unix:{short_path / 's'}"]
    with serve(echo_app(), *places) as served:
        told = served.server.addresses
        assert len(set(told)) == 3
        assert told[2] == places[2]
        assert not any(address.endswith(":0") for address in told)
        assert [asks(address) for address in told] == ["answered"] * 3
        assert served.server.shared.counters.accepted == 3


@needs_ipv6
def test_ipv6_is_served(serve: Serve) -> None:
    with serve(echo_app(), "[::1]:0") as served:
        (address,) = served.server.addresses
        assert address.startswith("[::1]:")
        assert asks(address) == "answered"


def test_every_interface_is_served_on_one_port_and_warned_about(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    with serve(echo_app(), ":0") as served:
        ports = {address.rpartition(":")[2] for address in served.server.addresses}
        assert len(ports) == 1
        assert asks(f"127.0.0.1:{ports.pop()}") == "answered"
        warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert len(warnings) == len(served.server.addresses)
        assert all("other machines" in warning for warning in warnings)


def test_loopback_is_not_warned_about(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    with serve(echo_app(), "127.0.0.1:0"):
        assert not caplog.records


def test_a_name_with_several_addresses_is_reported(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    async def main() -> None:
        server = Server(echo_app(), ["localhost:0"])
        async with server:
            assert asks_port(server.addresses[0]) > 0
        several = len(server.addresses) > 1
        assert ("has several addresses" in caplog.text) is several

    run(main())


def asks_port(address: str) -> int:
    return int(address.rpartition(":")[2])


def test_an_address_in_use_names_who_has_it(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        async def main() -> None:
            with pytest.raises(ListenFailed) as caught:
                await Server(App(), [f"127.0.0.1:{port}"]).start()
            assert f"(process {os.getpid()})" in str(caught.value)
            assert "choose another port" in str(caught.value)
            assert caught.value.address == f"127.0.0.1:{port}"
            assert isinstance(caught.value, OSError)

        run(main())


def test_of_several_addresses_one_that_fails_frees_the_others(run: Run, short_path: Path) -> None:
    path = short_path / "s"
    free = free_port()
    with socket.create_server(("127.0.0.1", 0)) as taken:

        async def main() -> None:
            used = taken.getsockname()[1]
            server = Server(App(), [f"127.0.0.1:{free}", f"unix:{path}", f"127.0.0.1:{used}"])
            with pytest.raises(ListenFailed):
                await server.start()

        run(main())
        with socket.create_server(("127.0.0.1", free)):
            assert not path.exists()


def test_a_port_can_be_listened_at_again_at_once(run: Run) -> None:
    async def main() -> None:
        port = 0
        for _ in range(3):
            async with Server(echo_app(), [f"127.0.0.1:{port}"]) as server:
                port = asks_port(server.addresses[0])
                async with AsyncClient(server.addresses[0]) as client:
                    assert await client.call("echo", 1) == 1

    run(main())


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 64, "x" * 64 + ".example", "a..b", "\u2028"])
def test_a_name_that_cannot_be_resolved_is_said_so(run: Run, host: str) -> None:
    async def main() -> None:
        with pytest.raises(ListenFailed, match="cannot be resolved") as caught:
            await Server(App(), [f"{host}:0"]).start()
        assert "\n" not in str(caught.value)

    run(main())


def test_an_address_of_another_machine_is_said_so(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(ListenFailed, match="this machine has no address"):
            await Server(App(), ["192.0.2.1:0"]).start()

    run(main())


def test_a_privileged_port_is_said_so() -> None:
    error = PermissionError(errno.EACCES, "Permission denied")
    failed = listen_failed(parse("127.0.0.1:80"), error)
    assert "port 80 needs special rights; choose a port from 1024" in str(failed)


def test_a_privileged_port_is_refused_to_ordinary_users() -> None:
    told = subprocess.run([sys.executable, "-c", AS_NOBODY], capture_output=True, text=True, check=True).stdout
    if told.strip() == "free":
        pytest.skip("this system keeps no ports for the administrator")
    assert "port 1 needs special rights" in told


def test_a_socket_file_of_a_server_that_is_gone_is_replaced(serve: Serve, short_path: Path) -> None:
    path = short_path / "s"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
        gone.listen()
    assert path.is_socket()
    with serve(echo_app(), f"unix:{path}") as served:
        assert asks(served.server.addresses[0]) == "answered"
    assert not path.exists(), "and removed in the end"


def test_a_socket_file_in_use_is_left_alone(serve: Serve, run: Run, short_path: Path) -> None:
    place = f"unix:{short_path / 's'}"

    async def main() -> None:
        with pytest.raises(ListenFailed, match="another program listens there"):
            await Server(App(), [place]).start()

    with serve(echo_app(), place):
        run(main())
        assert asks(place) == "answered"


class Slow(socket.socket):
    """A listening socket that somebody waits with between two steps: bound, and not yet listening."""

    bound, gate = threading.Event(), threading.Event()

    def listen(self, backlog: int = 128) -> None:
        if not Slow.bound.is_set():
            Slow.bound.set()
            assert Slow.gate.wait(leaks.PATIENCE)
        super().listen(backlog)


@pytest.mark.parametrize("stale", [False, True])
def test_of_two_servers_that_start_over_one_socket_file_one_gets_it(
    monkeypatch: pytest.MonkeyPatch, short_path: Path, stale: bool
) -> None:
    """A socket that is bound and does not listen yet looks like one whose server is gone."""
    place = parse(f"unix:{short_path / 's'}")
    if stale:
        with socket.socket(socket.AF_UNIX) as gone:
            gone.bind(place.path)
    Slow.bound, Slow.gate = threading.Event(), threading.Event()
    monkeypatch.setattr("letterhead.transport.schemes.unix.socket.socket", Slow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(place.transport.listen, place, Limits())
        assert Slow.bound.wait(leaks.PATIENCE)
        second = pool.submit(place.transport.listen, place, Limits())
        wait([second], timeout=0.2)
        assert not second.done(), "it does not take what another is about to have"
        Slow.gate.set()
        listener = first.result()
        with pytest.raises(ListenFailed, match="another program listens there"):
            second.result()
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(place.path)
        assert [path.name for path in short_path.iterdir()] == ["s"], "no lock is left"
    finally:
        listener.close()


def test_many_servers_that_start_over_one_stale_socket_file_are_one_in_the_end(short_path: Path) -> None:
    place = parse(f"unix:{short_path / 's'}")

    def listens(_: int) -> Listener | None:
        try:
            return place.transport.listen(place, Limits())
        except ListenFailed:
            return None

    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            with socket.socket(socket.AF_UNIX) as gone:
                gone.bind(place.path)
            got = [listener for listener in pool.map(listens, range(8)) if listener is not None]
            assert len(got) == 1
            got[0].close()
            assert [path.name for path in short_path.iterdir()] == []


def test_a_lock_that_a_killed_server_left_is_taken_over(short_path: Path) -> None:
    place = parse(f"unix:{short_path / 's'}")
    (short_path / ".s.letterhead-lock").touch()
    place.transport.listen(place, Limits()).close()
    assert [path.name for path in short_path.iterdir()] == []


def test_a_name_that_another_program_keeps_locked_is_told_in_the_end(
    monkeypatch: pytest.MonkeyPatch, short_path: Path
) -> None:
    place = parse(f"unix:{short_path / 's'}")
    monkeypatch.setattr("letterhead.transport.schemes.unix._LOCK_SECONDS", 0.05)
    with (short_path / ".s.letterhead-lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ListenFailed, match=r"see who has the lock on .*\.s\.letterhead-lock"):
            place.transport.listen(place, Limits())


def test_where_there_are_no_locks_a_server_listens_without(monkeypatch: pytest.MonkeyPatch, short_path: Path) -> None:
    def none(file: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", none)
    place = parse(f"unix:{short_path / 's'}")
    place.transport.listen(place, Limits()).close()


def test_a_file_that_is_no_socket_is_left_alone(run: Run, short_path: Path) -> None:
    path = short_path / "precious"
    path.write_text("data")

    async def main() -> None:
        with pytest.raises(ListenFailed, match="a file of that name exists"):
            await Server(App(), [f"unix:{path}"]).start()

    run(main())
    assert path.read_text() == "data"


def test_a_link_is_not_followed(run: Run, short_path: Path) -> None:
    link = short_path / "link"
    link.symlink_to(short_path / "nowhere")

    async def main() -> None:
        with pytest.raises(ListenFailed, match="a file of that name exists"):
            await Server(App(), [f"unix:{link}"]).start()

    run(main())
    assert link.is_symlink()


def test_a_folder_that_is_not_there_is_said_so(run: Run, short_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(ListenFailed, match="there is no folder"):
            await Server(App(), [f"unix:{short_path / 'no' / 's'}"]).start()

    run(main())


def test_a_socket_file_that_somebody_else_made_meanwhile_is_not_removed(run: Run, short_path: Path) -> None:
    path = short_path / "s"

    async def main() -> None:
        async with Server(App(), [f"unix:{path}"]):
            path.unlink()
            path.write_text("mine")

    run(main())
    assert path.read_text() == "mine"


def test_a_server_runs_once_at_a_time(run: Run) -> None:
    async def main() -> None:
        server = Server(App(), ["127.0.0.1:0"])
        with pytest.raises(UsageError, match="not running"):
            _ = server.shared
        async with server:
            with pytest.raises(UsageError, match="running already"):
                await server.start()
        await server.close()
        async with server:
            assert len(server.addresses) == 1

    run(main())


def test_serve_refuses_what_is_no_address_at_once() -> None:
    with pytest.raises(UsageError):
        App(limits=Limits()).serve("nowhere")


def test_a_server_whose_sockets_cannot_be_watched_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system has a bound on what may be watched, too."""

    async def main() -> None:
        def fails(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        server = Server(echo_app(), ["127.0.0.1:0"])
        loop = asyncio.get_running_loop()
        with monkeypatch.context() as patch:
            patch.setattr(loop, "add_reader", fails)
            with pytest.raises(OSError, match="No space left"):
                await server.start()
        with pytest.raises(UsageError, match="not running"):
            _ = server.shared
        async with server, AsyncClient(server.addresses[0]) as client:
            assert await client.call("echo", 1) == 1

    leaks.run(main())
