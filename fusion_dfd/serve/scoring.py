"""What a server does with one video: the only place that knows how a verdict and its report are made."""

from __future__ import annotations

import dataclasses
import html
import os
from collections.abc import Callable

from fusion_dfd import atomic
from fusion_dfd.predict.detector import Detector, Told
from fusion_dfd.predict.verdict import Verdict

Score = Callable[[str, str, Told], tuple[Verdict, str | None]]
"""``(path, directory, told) -> (verdict, page)``, see :func:`score`."""


def score(detector: Detector, path: str, directory: str, told: Told) -> tuple[Verdict, str | None]:
    """Score a video.

    Args:
      detector: a trained one.
      path: of the video.
      directory: an existing folder for what is to be shown about it.
      told: called after every window; what it raises ends the scoring and is passed on.

    Returns:
      The verdict, and the path of an HTML report in ``directory``; None where there is none.
    """
    (verdict,) = detector.predict_many([path], told)
    return verdict, None


def renamed(verdict: Verdict, page: str | None, path: str, name: str) -> Verdict:
    """The verdict on the file at ``path`` as one on ``name``, in its sentences and on its page too.

    The last part of ``path`` must be a word that nothing else on the page can hold.
    """
    if page is not None:
        with open(page, encoding="utf-8") as file:
            text = file.read()
        for word in (path, os.path.basename(path)):
            text = text.replace(html.escape(word), html.escape(name))
        atomic.write_text(page, text)
    reason = verdict.reason and verdict.reason.replace(path, name)
    return dataclasses.replace(verdict, path=name, reason=reason)
