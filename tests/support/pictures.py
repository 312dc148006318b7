"""The pictures of docs/SERVE.md: python tests/support/pictures.py RUN VIDEO FOLDER

VIDEO is the one whose verdict is shown; the one in progress, of ten windows, is rendered.
"""

import os
import sys
import tempfile
import threading

import chromium
from playwright.sync_api import Page

from fusion_dfd.config import Synthetic
from fusion_dfd.predict import detector as detectors
from fusion_dfd.serve import scoring
from fusion_dfd.serve.upload import Limits
from fusion_dfd.synthetic import take

SIZE = {"width": 720, "height": 420}
WINDOW = 4
"""After which the video in progress waits for its picture."""


def main(run: str, video: str, folder: str) -> None:
    detector = detectors.load(run)
    taken = threading.Event()

    def score(path, directory, told):
        def held(path, window, windows):
            told(path, window, windows)
            if window == WINDOW and windows > WINDOW:
                taken.wait()

        return scoring.score(detector, path, directory, held)

    with (
        tempfile.TemporaryDirectory() as temporary,
        chromium.served(score, scoring.gather("fusion", detector), Limits()) as address,
        chromium.launched() as browser,
    ):
        page = browser.new_page(viewport=SIZE)
        page.goto(address)
        page.locator("#notices li").first.wait_for()
        shoot(page, folder, "serve_start.png")
        notes, long = os.path.join(temporary, "notes.mp4"), os.path.join(temporary, "interview.mp4")
        with open(notes, "w") as file:
            file.write("To do: buy milk.\n")
        choose(page, notes, "#error p")
        shoot(page, folder, "serve_bad_file.png")
        take.shoot(take.RenderTask(Synthetic(frames=480), 117, 116, {take.ORIGINAL: long}))
        choose(page, long, f"text={WINDOW} of")
        shoot(page, folder, "serve_progress.png")
        page.get_by_role("button", name="Cancel").click()
        taken.set()
        page.locator("#start").wait_for()
        choose(page, video, "#said")
        shoot(page, folder, "serve_verdict.png")


def choose(page: Page, path: str, then: str) -> None:
    page.locator("#file").set_input_files(path)
    page.locator(then).wait_for(timeout=300_000)


def shoot(page: Page, folder: str, name: str) -> None:
    page.evaluate("document.activeElement.blur()")
    page.screenshot(path=os.path.join(folder, name), full_page=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
