"""Damaged files for minutes: ``make fuzz``, with SECONDS per kind and a SEED. Prints what became of them.

The first fault ends it; the file that is at fault then lies in build/fuzz.
"""

import pathlib
import sys

import mutants

PLACE = pathlib.Path("build/fuzz")


def main(seconds: float, seed: int) -> None:
    PLACE.mkdir(parents=True, exist_ok=True)
    total = mutants.Counts()
    print(f"{'':20}{'tried':>8}{'refused':>9}{'accepted':>10}")
    for kind in mutants.KINDS:
        found = mutants.run(kind, PLACE, seed, seconds=seconds)
        print(f"{kind.name[:18]:20}{found.tried:8}{found.refused:9}{found.accepted:10}", flush=True)
        total.tried, total.refused = total.tried + found.tried, total.refused + found.refused
        total.accepted += found.accepted
    print(f"{total.tried} tried, {total.refused} refused with a sentence, {total.accepted} accepted, crashes=0")


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
