"""Clients of both kinds that call without pause until their input ends: `python -m tests.long.load ADDRESS RECORDS`.

Two `Client`s, each shared by threads, and two `AsyncClient`s, each shared by tasks. How every call ended is one line of
RECORDS, as JSON (see `outcomes.Outcome`); times are those of the machine's own clock.
"""

import argparse
import asyncio
import json
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

from letterhead import AsyncClient, Client, LetterheadError

ACTIONS = ("once", "again")
REPEATABLE = ("again",)
"""Told to the clients: one that has to ask which actions may be sent again knows only after its first second."""
CLIENTS = 2
_PAUSE = 0.005
_PAUSE_AFTER_ERROR = 0.01


class Load:
    """The clients, and what became of their calls."""

    def __init__(self, address: str, timeout: float, workers: int) -> None:
        self.address = address
        self.timeout = timeout
        self.workers = workers
        self.records: list[dict[str, Any]] = []
        self.begun: list[tuple[str, str, str]] = []
        self.ending = threading.Event()

    def in_threads(self) -> list[threading.Thread]:
        """Begin the blocking clients."""
        return [self._thread(self._share, f"Client-{number}") for number in range(CLIENTS)]

    def on_a_loop(self) -> threading.Thread:
        """Begin the asynchronous ones."""
        return self._thread(lambda _: asyncio.run(self._loop()), "loop")

    def _thread(self, work: Any, name: str) -> threading.Thread:
        thread = threading.Thread(target=work, args=(name,), name=name)
        thread.start()
        return thread

    def _share(self, name: str) -> None:
        with Client(self.address, idempotent=REPEATABLE) as client:
            threads = [
                self._thread(lambda me: self._call(client, name, me), f"{name}-{n}") for n in range(self.workers)
            ]
            for thread in threads:
                thread.join()

    def _call(self, client: Client, name: str, worker: str) -> None:
        number = 0
        while not self.ending.is_set():
            action, token = self._begin(worker, number)
            number += 1
            began = time.monotonic()
            try:
                result, error = client.call(action, token=token, timeout=self.timeout), None
            except Exception as caught:  # whatever it is: the record says it
                result, error = None, caught
            self._ended(name, action, token, began, result, error)
            time.sleep(_PAUSE_AFTER_ERROR if error else random.random() * _PAUSE)

    async def _loop(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(self._share_on_loop(f"AsyncClient-{number}"))

    async def _share_on_loop(self, name: str) -> None:
        async with AsyncClient(self.address, idempotent=REPEATABLE) as client, asyncio.TaskGroup() as group:
            for number in range(self.workers):
                group.create_task(self._call_on_loop(client, name, f"{name}-{number}"))

    async def _call_on_loop(self, client: AsyncClient, name: str, worker: str) -> None:
        number = 0
        while not self.ending.is_set():
            action, token = self._begin(worker, number)
            number += 1
            began = time.monotonic()
            try:
                result, error = await client.call(action, token=token, timeout=self.timeout), None
            except Exception as caught:
                result, error = None, caught
            self._ended(name, action, token, began, result, error)
            await asyncio.sleep(_PAUSE_AFTER_ERROR if error else random.random() * _PAUSE)

    def _begin(self, worker: str, number: int) -> tuple[str, str]:
        action, token = ACTIONS[number % 2], f"{worker}-{number}"
        self.begun.append((worker, action, token))
        return action, token

    def never_ended(self) -> list[dict[str, Any]]:
        """A record for each call that was begun and of which nothing came, once all clients have ended."""
        ended = {record["token"] for record in self.records}
        return [
            {
                "client": worker,
                "action": action,
                "token": token,
                "began": 0,
                "ended": 0,
                "outcome": "none",
                "sentence": "",
            }
            for worker, action, token in self.begun
            if token not in ended
        ]

    def _ended(
        self, client: str, action: str, token: str, began: float, result: object, error: Exception | None
    ) -> None:
        outcome = "result" if error is None and result == token else "another's result"
        if error is not None:
            outcome = type(error).__name__ if isinstance(error, LetterheadError) else f"undocumented: {error!r}"
        self.records.append(
            {
                "client": client,
                "action": action,
                "token": token,
                "began": began,
                "ended": time.monotonic(),
                "outcome": outcome,
                "sentence": "" if error is None else str(error),
            }
        )


def main() -> None:
    """Call until the input ends, then write the records."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("records")
    parser.add_argument("--timeout", type=float, default=30.0)
    parser.add_argument("--workers", type=int, default=4)
    options = parser.parse_args()
    load = Load(options.address, options.timeout, options.workers)
    threads = [*load.in_threads(), load.on_a_loop()]
    print("ready", flush=True)
    sys.stdin.read()
    load.ending.set()
    for thread in threads:
        thread.join()
    with Path(options.records).open("w", encoding="utf-8") as file:
        for record in [*load.records, *load.never_ended()]:
            print(json.dumps(record), file=file)


if __name__ == "__main__":
    main()
