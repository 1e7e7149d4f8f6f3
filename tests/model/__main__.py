"""By hand: ``python -m tests.model 17``, or ``1-200``; ``-v`` prints all that happened, ``plant=NAME`` plants a fault first.
At the end it says in how many programs each rule was reached."""

import sys
import time

from tests.model.operations import program
from tests.model.planted import FOCUS, planted
from tests.model.reached import table
from tests.model.simulation import simulate
from tests.support.redis import RealRedis


def main(words: list[str]) -> None:
    """Runs the seeds that are named, and says what failed."""
    first, _, last = words[0].partition("-")
    reached = []
    plant = next((word.removeprefix("plant=") for word in words if word.startswith("plant=")), None)
    with RealRedis() as redis, planted(plant):
        for seed in range(int(first), int(last or first) + 1):
            began = time.perf_counter()
            result = simulate(seed, redis.socket, program(seed, FOCUS.get(plant or "", ())), keep_trace="-v" in words)
            reached.append(result.reached)
            lines = [str(result)] if result.complaints else []
            lines += result.trace if "-v" in words else ()
            lines.append(f"seed {seed}: {'FAILED' if result.complaints else 'passed'} in {time.perf_counter() - began:.2f} s")
            sys.stdout.write("\n".join(lines) + "\n")
            sys.stdout.flush()
            if plant and result.complaints:
                return
    sys.stdout.write(table(reached) + "\n")


main(sys.argv[1:])
