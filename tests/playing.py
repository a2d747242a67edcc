"""Plays a stateful model for long, from the command line."""

import argparse
import time
from collections import Counter

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test


def play(model: type[RuleBasedStateMachine], name: str, moves: Counter[str], steps: int) -> None:
    """Play the model long, and say how much was done.

    Args:
        model: the state machine.
        name: the module that it stands in.
        moves: what it counts its moves in, and under ``runs`` how often it was begun.
        steps: rules of one run, at most, where the command line names none.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description="Play the model long.")
    parser.add_argument("--runs", type=int, default=1_000, help="runs to play (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=steps, help="rules for each, at most (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**9, help="draw the same moves again")
    parser.add_argument("--raw", action="store_true", help="do not shorten a run that failed")
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    start = time.monotonic()
    run_state_machine_as_test(
        seed(chosen.seed)(model),
        settings=settings(
            max_examples=chosen.runs,
            stateful_step_count=chosen.steps,
            deadline=None,
            database=None,
            phases=(Phase.generate,) if chosen.raw else (Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        ),
    )
    runs = moves.pop("runs")
    print(f"{runs} runs, {moves.total()} moves in {time.monotonic() - start:.0f} s:")
    for name, count in moves.most_common():
        print(f"{count:>9}  {name}")
