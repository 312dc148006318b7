"""Where the time of a video goes: its stages, timed in the running program."""

import collections
import time
from collections.abc import Callable

import jax

from fusion_dfd.faces import extract


class Clock:
    """Seconds by stage."""

    def __init__(self):
        self.seconds: collections.Counter[str] = collections.Counter()

    def wrap(self, stage: str, work: Callable) -> Callable:
        """The same work, timed until its result is there."""

        def timed(*given):
            begun = time.perf_counter()
            try:
                return jax.block_until_ready(work(*given))
            finally:
                self.seconds[stage] += time.perf_counter() - begun

        return timed

    def watch_decoding(self) -> None:
        """Have all videos of this process decoded under this clock, as stage ``decode``."""
        plain = extract.Decoder.__iter__

        def iterate(video):
            frames = plain(video)
            step = self.wrap("decode", lambda: next(frames, None))
            return iter(step, None)

        extract.Decoder.__iter__ = iterate

    def shares(self, wall: float) -> dict[str, float]:
        """Of the ``wall`` seconds that all took; what no stage took is the ``rest``."""
        seconds = self.seconds | {"rest": wall - self.seconds.total()}
        return {stage: round(taken / wall, 3) for stage, taken in seconds.items()}
