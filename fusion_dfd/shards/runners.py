"""What makes the shards, by the words of a command line."""

from __future__ import annotations

from collections.abc import Sequence

from fusion_dfd.config import ConfigError
from fusion_dfd.shards import workers


def choose(beam: str | None, options: Sequence[str] = (), processes: int | None = None) -> workers.Runner:
    """Apache Beam's runner ``beam`` with its ``options``; where that is None, processes of this machine.

    Raises ConfigError when Beam is not installed, or options are given without a runner.
    """
    if beam is None:
        if options:
            raise ConfigError(f"{options[0]} is an option of a Beam runner, and none is named: add --runner")
        return workers.pool(processes)
    try:
        from fusion_dfd.shards.beam import runner
    except ImportError as error:
        raise ConfigError(f"--runner wants Apache Beam ({error}): pip install 'fusion-dfd[beam]'") from error
    return runner(beam, options)


def part(text: str) -> tuple[int, int]:
    """``"I/N"`` as (I, N). Raises ConfigError for anything else."""
    number, _, total = text.partition("/")
    if not (number.isdecimal() and total.isdecimal() and int(number) < int(total)):
        raise ConfigError(f"shard={text}: want I/N with 0 <= I < N, such as 0/8")
    return int(number), int(total)
