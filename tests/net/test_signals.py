"""SIGINT and SIGTERM: what was accepted is answered, then the process ends with 0; a second one ends it at once."""

import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from letterhead import Cancelled, Client, ConnectionFailed
from tests.leaks import PATIENCE
from tests.net.processes import file_made, running

SIGNALS = [signal.SIGINT, signal.SIGTERM]


class CallThread(threading.Thread):
    """A call in a thread, and what came of it."""

    def __init__(self, client: Client, action: str, **arguments: Any) -> None:
        super().__init__(daemon=True)
        self.result: Any = None
        self._ask: Callable[[], Any] = partial(client.call, action, **arguments)
        self.start()

    def run(self) -> None:
        try:
            self.result = self._ask()
        except Exception as error:
            self.result = error

    def outcome(self) -> Any:
        """Wait for it."""
        self.join(PATIENCE)
        assert not self.is_alive()
        return self.result


@pytest.mark.smoke
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_server_after_the_running_request_was_answered(number: int, tmp_path: Path) -> None:
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    with running("slow") as program, Client(program.address) as client:
        call = CallThread(client, "wait", begun=str(begun), gate=str(gate))
        file_made(begun)
        program.signal(number)
        with Client(program.address, wait_for_ready=False) as late:
            # It listens until it has seen the signal; from then on nobody new is let in.
            while True:
                try:
                    late.call("letterhead.ping", timeout=PATIENCE)
                except ConnectionFailed:
                    break
                except Exception as refused:
                    assert getattr(refused, "code", "") == "unavailable"
        gate.touch()
        assert call.outcome() == "answered"
        assert program.ended() == 0
        assert program.out.split() == ["stopped", "left"]
        assert "Traceback" not in program.errors


def test_an_idle_server_ends_at_once(tmp_path: Path) -> None:
    with running("slow", address=f"unix:{tmp_path / 's'}") as program:
        program.signal(signal.SIGTERM)
        assert program.ended() == 0
    assert not (tmp_path / "s").exists()


def test_what_takes_longer_than_the_drain_time_is_cancelled(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    with running("slow", "0.1") as program, Client(program.address) as client:
        call = CallThread(client, "wait", begun=str(begun), gate=str(tmp_path / "never"))
        file_made(begun)
        program.signal(signal.SIGTERM)
        assert program.ended() == 0
        assert isinstance(call.outcome(), Cancelled)
        assert "Traceback" not in program.errors


def test_a_thread_that_never_returns_does_not_keep_the_process_alive(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    with running("slow", "0.1") as program, Client(program.address) as client:
        call = CallThread(client, "wait-thread", begun=str(begun))
        file_made(begun)
        program.signal(signal.SIGTERM)
        assert program.ended() == 0
        assert isinstance(call.outcome(), Cancelled)
        assert "Traceback" not in program.errors


@pytest.mark.parametrize("action", ["wait", "wait-thread", "stubborn"])
@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_signal_ends_it_at_once(number: int, action: str, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    arguments = {"begun": str(begun), **({"gate": str(tmp_path / "never")} if action == "wait" else {})}
    with running("slow", "600") as program, Client(program.address) as client:
        assert client.call("letterhead.ping", 1) == 1
        call = CallThread(client, action, **arguments)
        file_made(begun)
        program.signal(number)
        with Client(program.address, wait_for_ready=False) as late:
            while True:
                try:
                    late.call("letterhead.ping", timeout=PATIENCE)
                except ConnectionFailed:
                    break
                except Exception as refused:
                    assert getattr(refused, "code", "") == "unavailable"
        program.signal(number)
        assert program.ended() == -number, "as if the signal had not been handled"
        assert isinstance(call.outcome(), Cancelled)
        assert "Traceback" not in program.errors


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_interrupts_a_start_hook(number: int, tmp_path: Path) -> None:
    begun, place = tmp_path / "waits", tmp_path / "s"
    with running("starting", str(begun), address=f"unix:{place}") as program:
        file_made(begun)
        program.signal(number)
        assert program.ended() == (-signal.SIGINT if number == signal.SIGINT else 128 + number)
    assert not place.exists(), "what was opened is cleared away"


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_signal_interrupts_a_start_hook_that_blocks_the_event_loop(number: int, tmp_path: Path) -> None:
    begun, place = tmp_path / "blocks", tmp_path / "s"
    with running("starting", str(begun), address=f"unix:{place}") as program:
        file_made(begun)
        until = time.monotonic() + PATIENCE
        while program.process.poll() is None:  # one that comes before the first was seen is no second
            assert time.monotonic() < until
            program.signal(number)
            time.sleep(0.05)
        # One more may have come while it ended, which ends it as if it had not been handled.
        assert program.ended() in (-number, 128 + number)
