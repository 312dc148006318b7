"""A service of :mod:`fusion_dfd.serve` in this process: its folder is temporary, its worker is a thread."""

import contextlib
import dataclasses
import os
import threading
from collections.abc import Iterator, Sequence

from fusion_dfd.serve import upload
from fusion_dfd.serve.files import DATABASE, Files
from fusion_dfd.serve.keys import Keys
from fusion_dfd.serve.scoring import ModelFacts, Score
from fusion_dfd.serve.service import Options, Service
from fusion_dfd.serve.store import Store, sqlite
from fusion_dfd.serve.telemetry import Telemetry
from fusion_dfd.serve.upload import Limits
from fusion_dfd.serve.worker import Detector, Worker


@contextlib.contextmanager
def running(
    score: Score,
    facts: ModelFacts,
    limits: Limits,
    options: Options | None = None,
    keys: Keys | None = None,
    others: Sequence[Detector] = (),
) -> Iterator[Service]:
    """``others``: detectors besides ``score`` with its ``facts``."""
    options, detectors = options or Options(), [Detector(facts, score), *others]
    with upload.private_folder() as root:
        files = Files(root)
        store = Store(sqlite(os.path.join(root, DATABASE)), files.name)
        told, ended = Telemetry(), threading.Event()

        def tell(message):
            fields = {name: value for name, value in message.items() if name != "event"}
            {"started": told.started, "ended": told.ended}[message["event"]](**fields, worker="only")

        worker = Worker("only", store, files, detectors, limits.time_limit, options.keep_videos, tell)
        thread = threading.Thread(target=worker.run, args=(ended.is_set,))
        thread.start()
        try:
            named = {detector.facts.name: detector.facts for detector in detectors}
            yield Service(store, files, named, limits, options, keys, told)
        finally:
            ended.set()
            thread.join()
            store.close()


def another(facts: ModelFacts, name: str) -> ModelFacts:
    """A detector of other weights."""
    return dataclasses.replace(facts, name=name, digest=facts.digest[::-1])
