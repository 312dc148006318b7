"""Pages of several videos in one folder, and one that lists them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from html import escape
from urllib.parse import quote

from fusion_dfd import atomic
from fusion_dfd.evaluation import report
from fusion_dfd.evaluation.sections import cell, section, table
from fusion_dfd.explain import page, words
from fusion_dfd.predict.detector import Detector, Told
from fusion_dfd.predict.verdict import Verdict

INDEX = "index.html"
_NAME = "white-space: normal; overflow-wrap: anywhere"


class Pages:
    """A detector that leaves a page of every video it scores in ``directory``."""

    def __init__(self, detector: Detector, directory: str):
        self._detector, self._directory = detector, directory
        self.written: list[tuple[Verdict, str]] = []
        """Verdicts so far, and the paths of their pages."""

    def predict_many(self, paths: Sequence[str], told: Told | None = None) -> Iterator[Verdict]:
        """As :meth:`Detector.predict_many`; of several videos the list of pages is brought up to date after each."""
        for path in paths:
            verdict, written = page.write(self._detector, path, self._directory, told)
            self.written.append((verdict, written))
            if len(paths) > 1:
                self._list()
            yield verdict

    @property
    def entrance(self) -> str | None:
        """The page to open first: the list, or that of the only video; None before any."""
        if len(self.written) > 1:
            return os.path.join(self._directory, INDEX)
        return self.written[0][1] if self.written else None

    def _list(self) -> None:
        rows = [
            [
                f'<td style="{_NAME}"><a style="color: inherit" href="{quote(os.path.basename(written))}">'
                f"{escape(verdict.path)}</a></td>",
                cell(words.SAID[verdict.verdict].lower()),
                cell("-" if verdict.probability is None else f"{verdict.probability:.2f}"),
                cell("-" if verdict.seconds is None else f"{verdict.seconds:.1f}"),
                cell(verdict.reason or ""),
            ]
            for verdict, written in self.written
        ]
        found = table(["video", "verdict", "probability", "seconds", "note"], rows, "text wide")
        body = f"<h1>{escape(page.TITLE)}</h1>{section(f'{len(rows)} videos', found)}"
        atomic.write_text(os.path.join(self._directory, INDEX), page.printable(report.page("Deepfake checks", body)))
