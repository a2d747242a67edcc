"""What became of every call, held against what the server ran: the claims, and the table that is printed.

What this file must not know: processes, sockets, the clock. It reads records (`load`) and a ledger (`counting`).
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

NEVER_SENT = {"ConnectRefused", "ConnectTimedOut", "Unavailable"}
"""Errors that say that the call did not run."""
DOCUMENTED = NEVER_SENT | {"ConnectionLost", "NoReply", "ConnectionFailed", "DeadlineExceeded", "Cancelled"}
_GRACE = 2.0
"""Seconds that a call may end after its time, on a machine that is busy with all this."""


@dataclass(frozen=True)
class Outcome:
    """How one call ended: `outcome` is `result`, the class of its error, or `none`."""

    client: str
    action: str
    token: str
    began: float
    ended: float
    outcome: str
    sentence: str


@dataclass
class Report:
    """All calls of a scene.

    Attributes:
        outcomes: each call's.
        runs: how often the server ran each token.
        back: the moments from which on a server could be reached again.
        timeout: of each call, in seconds.
    """

    outcomes: list[Outcome]
    runs: Counter[str]
    timeout: float
    back: list[float] = field(default_factory=list)

    @classmethod
    def read(cls, records: Path, ledger: Path, timeout: float, back: Iterable[float] = ()) -> "Report":
        """The report of what was written."""
        outcomes = [Outcome(**json.loads(line)) for line in records.read_text().splitlines()]
        runs = Counter(line.split()[1] for line in ledger.read_text().splitlines())
        return cls(outcomes, runs, timeout, list(back))

    # -- claims ----------------------------------------------------------------------------------------------------

    def broken(self, *, keeps_going: bool) -> list[str]:
        """The claims that do not hold, each as a sentence with an example.

        Args:
            keeps_going: also what holds of clients that reconnect by themselves and repeat what may be repeated.
        """
        claims = [self._sound()]
        if keeps_going:
            claims.append(self._kept_going())
        found: dict[str, list[Outcome]] = {}
        for sentence, outcome in (pair for claim in claims for pair in claim):
            found.setdefault(sentence, []).append(outcome)
        return [f"{sentence}: {len(calls)} times, such as {calls[0]}" for sentence, calls in found.items()]

    def _sound(self) -> Iterator[tuple[str, Outcome]]:
        """What must hold of any client."""
        tokens = Counter(outcome.token for outcome in self.outcomes)
        for call in self.outcomes:
            ran = self.runs[call.token]
            if tokens[call.token] != 1:
                yield "a call ended twice", call
            if call.outcome == "result":
                if not ran:
                    yield "a result of what never ran", call
            elif call.outcome == "none":
                yield "a call never ended", call
            elif call.outcome not in DOCUMENTED:
                yield "an error that is not documented", call
            elif call.outcome in NEVER_SENT and ran and call.action == "once":
                yield "an error says that it did not run, and it did", call
            if ran > 1 and call.action == "once":
                yield "what may run once ran twice", call
            if call.ended - call.began > self.timeout + _GRACE:
                yield "a call went on after its time", call

    def _kept_going(self) -> Iterator[tuple[str, Outcome]]:
        """What must hold of a client that keeps going, where no server is away for as long as a call may take."""
        for call in self.outcomes:
            if call.outcome == "result":
                continue
            if call.action == "again":
                yield "a call that may be repeated failed", call
            elif call.outcome in NEVER_SENT:
                yield "a call that was known not to have run failed", call

    # -- figures ---------------------------------------------------------------------------------------------------

    def recoveries(self) -> list[float]:
        """Seconds from each return of the server to each client's first result after it, sorted."""
        clients = sorted({outcome.client for outcome in self.outcomes})
        ends = {
            client: sorted(call.ended for call in self.outcomes if call.client == client and call.outcome == "result")
            for client in clients
        }
        found = []
        for at, until in pairwise([*self.back, float("inf")]):
            for client in clients:
                found += [end - at for end in ends[client] if at <= end < until][:1]
        return sorted(found)

    def table(self) -> str:
        """The figures, for people."""
        lines = [
            f"{'client':12} {'action':7} {'calls':>8} {'results':>8} {'ran, no result':>15} {'ran again':>10}  errors"
        ]
        kinds = sorted({(call.client.partition("-")[0], call.action) for call in self.outcomes})
        for kind, action in kinds:
            calls = [call for call in self.outcomes if (call.client.partition("-")[0], call.action) == (kind, action)]
            errors = Counter(call.outcome for call in calls if call.outcome != "result")
            lost = sum(call.outcome != "result" and self.runs[call.token] > 0 for call in calls)
            again = sum(self.runs[call.token] > 1 for call in calls)
            told = ", ".join(f"{name} {count:,}" for name, count in errors.most_common()) or "none"
            lines.append(
                f"{kind:12} {action:7} {len(calls):8,} {len(calls) - errors.total():8,} {lost:15,} {again:10,}  {told}"
            )
        recoveries = self.recoveries()
        if recoveries:
            lines.append(
                f"back after {len(self.back)} times away, seconds to the first result of each client: "
                f"p50 {_part(recoveries, 0.5):.3f}, p99 {_part(recoveries, 0.99):.3f}, longest {recoveries[-1]:.3f} "
                f"({len(recoveries):,} recoveries)"
            )
        lines.append(f"longest call: {max(call.ended - call.began for call in self.outcomes):.2f} s")
        return "\n".join(lines)


def _part(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))]
