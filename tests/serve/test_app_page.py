"""The page in a real browser: what a person sees, with keyboard and narrow screens, and nothing from elsewhere."""

import dataclasses
import functools
import threading

import pytest

pytest.importorskip("fastapi", reason="the extra app is not installed")
pytest.importorskip("playwright", reason="the extra app-test is not installed")

import chromium
from playwright.sync_api import expect

from fusion_dfd.config import Synthetic
from fusion_dfd.predict import detector as detectors
from fusion_dfd.predict import warnings
from fusion_dfd.serve import keys, scoring
from fusion_dfd.serve.upload import Limits
from fusion_dfd.synthetic import take

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium.find() is None, reason="no Chromium here: apt-get install chromium"),
]
LIMITS = Limits(max_mb=1, max_seconds=3, time_limit=60, queue=1)
CHOOSE = "Drop a video here, or choose a file"
CONTRAST = """() => {
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = parts(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const low = [];
  const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.checkVisibility()) continue;
    const style = getComputedStyle(node);
    const ink = parts(node.closest("svg") ? style.fill : style.color).slice(0, 3);
    const [light, dark] = [luminance(ink), luminance(behind(node))].sort((a, b) => b - a);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < (large ? 3 : 4.5)) low.push(`${node.textContent.trim()}: ${ratio.toFixed(2)}`);
  }
  return low;
}"""
"""Texts whose contrast is below what WCAG 2.2, success criterion 1.4.3, asks for."""


@pytest.fixture(scope="module")
def browser():
    with chromium.launched() as made:
        yield made


@pytest.fixture
def address(score, facts, temporary):
    with chromium.served(score, facts, LIMITS) as url:
        yield url
        score.step(1000)


@pytest.fixture
def opened(browser):
    """``opened(address, ...)``: a page there, which must ask nobody else for anything and have no errors."""
    contexts, requests, errors = [], [], []

    def made(address: str, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        context.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if "Security Policy" in message.text else None)
        page.goto(address)
        made.address = address
        return page

    yield made
    for context in contexts:
        context.close()
    assert requests
    assert not [url for url in requests if not url.startswith((made.address, "data:"))]
    assert not errors


@pytest.fixture
def file(clip):
    """What Playwright takes for a chosen file."""
    return lambda name="clip.mp4", content=clip: {"name": name, "mimeType": "video/mp4", "buffer": content}


def test_a_rendered_video_from_the_drop_to_the_verdict(opened, run, tmp_path, stored):
    """The real detector; it waits after the first window until progress was seen."""
    path = tmp_path / "rendered.mp4"
    take.shoot(take.RenderTask(Synthetic(frames=20), 0, 1, {take.ORIGINAL: str(path)}))
    detector = detectors.load(run)
    seen = threading.Event()

    def score(path, directory, report):
        def held(path, window, windows):
            report(path, window, windows)
            assert seen.wait(60)

        return scoring.score(detector, path, directory, held)

    with chromium.served(score, scoring.gather("tiny", detector), LIMITS) as address:
        page = opened(address)
        page.get_by_label(CHOOSE).set_input_files(str(path))
        expect(page.get_by_text("1 of 6 steps")).to_be_visible(timeout=60_000)
        assert page.get_by_role("progressbar").get_attribute("value") == str(1 / 6)
        seen.set()
        said = page.locator("#said")
        expect(said).to_be_visible(timeout=60_000)
        assert said.inner_text() in ("Looks fake", "No forgery found", "No verdict")
        expect(page.locator("#result-name")).to_have_text("rendered.mp4")
        expect(page.get_by_text("Seen on 20 frames")).to_be_visible()
        expect(page.get_by_role("img", name="By second, highest")).to_be_visible()
        for sentence in (scoring.EVIDENCE, warnings.RENDERED, warnings.UNCALIBRATED):
            expect(page.get_by_text(sentence)).to_be_visible()
        # The upload, whose name has no ending, is gone; the report and its annotated copy stay as long as the result.
        assert {path.suffix for path in stored()} == {".html", ".mp4"}
        page.close()


def test_a_file_that_is_no_video_gets_its_sentence(opened, address, file):
    page = opened(address)
    page.get_by_label(CHOOSE).set_input_files(file("notes.mp4", b"no video at all " * 99))
    alert = page.get_by_role("alert")
    expect(alert).to_have_text("notes.mp4: text, not a video, check what was saved under this name")
    expect(alert).to_be_focused()
    expect(page.get_by_label(CHOOSE)).to_be_visible()


def test_an_empty_file_gets_its_sentence(opened, address, file):
    page = opened(address)
    page.get_by_label(CHOOSE).set_input_files(file("empty.mp4", b""))
    expect(page.get_by_role("alert")).to_contain_text("empty.mp4: empty (0 bytes)")


def test_a_file_that_is_too_large_is_not_even_sent(opened, address, file):
    page = opened(address)
    sent = []
    page.on("request", lambda request: sent.append(request.method))
    page.get_by_label(CHOOSE).set_input_files(file("big.mp4", bytes(1_000_001)))
    expect(page.get_by_role("alert")).to_contain_text("big.mp4: larger than 1 MB, the most this server takes")
    assert "POST" not in sent


def test_the_queue_is_seen_and_a_full_one_told(opened, address, score, file, video):
    score.held = True
    first, second, third = (opened(address) for _ in range(3))
    first.get_by_label(CHOOSE).set_input_files(file("1.mp4"))
    expect(first.get_by_text("1 of 10 steps")).to_be_visible()
    second.get_by_label(CHOOSE).set_input_files(file("2.mp4", video(51)))
    expect(second.get_by_text("Waiting in the queue, yours is next")).to_be_visible()
    third.get_by_label(CHOOSE).set_input_files(file("3.mp4", video(52)))
    expect(third.get_by_role("alert")).to_have_text("The queue is full; try again in a minute.")


def test_cancelling_leads_back_to_the_start(opened, address, score, file, stored):
    score.held = True
    page = opened(address)
    page.get_by_label(CHOOSE).set_input_files(file())
    expect(page.get_by_text("1 of 10 steps")).to_be_visible()
    assert len(stored()) == 1
    with page.expect_response(lambda answer: answer.request.method == "DELETE"):
        page.get_by_role("button", name="Cancel").click()
    score.step()
    expect(page.get_by_label(CHOOSE)).to_be_visible()
    assert not stored()


def test_a_reload_comes_back_to_the_video_and_deleting_ends_it(opened, address, score, file):
    score.held = True
    page = opened(address)
    page.get_by_label(CHOOSE).set_input_files(file())
    expect(page.get_by_text("1 of 10 steps")).to_be_visible()
    page.reload()
    expect(page.get_by_text("1 of 10 steps")).to_be_visible()
    score.step(10)
    expect(page.locator("#said")).to_have_text("Looks fake")
    page.reload()
    expect(page.locator("#said")).to_have_text("Looks fake")
    kept = page.url
    page.get_by_role("button", name="Delete this result now").click()
    expect(page.get_by_label(CHOOSE)).to_be_visible()
    page.goto("about:blank")
    page.goto(kept)
    expect(page.get_by_role("alert")).to_contain_text("no such video: results are kept for 30 minutes")


def test_a_dropped_file_is_taken_anywhere_on_the_page(opened, address):
    page = opened(address)
    transfer = page.evaluate_handle(
        """() => {
          const transfer = new DataTransfer();
          transfer.items.add(new File(["no video"], "dropped.mp4"));
          return transfer;
        }"""
    )
    page.dispatch_event("footer", "drop", {"dataTransfer": transfer})
    expect(page.get_by_role("alert")).to_contain_text("dropped.mp4: text, not a video")


def test_keys_are_enough(opened, address, file):
    page = opened(address)
    expect(page.get_by_text("A score is evidence")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_label(CHOOSE)).to_be_focused()
    page.get_by_label(CHOOSE).set_input_files(file())  # what Space does here is the browser's own
    expect(page.locator("#said")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Another video")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_label(CHOOSE)).to_be_focused()


def test_a_name_is_text(opened, address, file):
    page = opened(address)
    name = "<img src=x onerror=alert(1)>.mp4"
    page.get_by_label(CHOOSE).set_input_files(file(name))
    expect(page.locator("#result-name")).to_have_text(name)
    expect(page.locator("#reason")).to_have_text(f"{name}: a reason")
    assert page.locator("img").count() == 0


def test_people_are_told_apart_and_the_doubtful_has_a_reason(opened, address, score, file):
    (face,) = score.verdict.faces
    other = dataclasses.replace(face, track=1, verdict="uncertain", probability=0.5, reason="too short", timeline=())
    face = dataclasses.replace(face, stretches=((0.0, 0.5, 0.9),))
    score.verdict = dataclasses.replace(score.verdict, faces=(face, other))
    page = opened(address)
    page.get_by_label(CHOOSE).set_input_files(file())
    expect(page.locator("article")).to_have_count(2)
    first, second = page.locator("article").all()
    expect(first.get_by_role("heading", level=3)).to_have_text("Person 1: Looks fake (0.900)")
    expect(first.get_by_role("img")).to_have_accessible_name("By second, highest 0.95 at second 1 of 2")
    expect(first.locator("svg .stretch")).to_have_text("0.0 to 0.5 s: 0.900")
    expect(first.get_by_text("Stretches that look forged, with their mean score: 0.0 to 0.5 s (0.90).")).to_be_visible()
    expect(second.get_by_role("heading", level=3)).to_have_text("Person 2: No verdict (0.500)")
    expect(second.get_by_text("too short")).to_be_visible()
    expect(second.get_by_role("img")).to_have_count(0)


def test_a_video_without_a_face_shows_why_and_no_empty_parts(opened, address, score, file):
    score.verdict = dataclasses.replace(score.verdict, verdict="none", probability=None, faces=())
    page = opened(address)
    page.get_by_label(CHOOSE).set_input_files(file())
    expect(page.locator("#said")).to_have_text("Could not be scored")
    expect(page.locator("#reason")).to_have_text("clip.mp4: a reason")
    expect(page.get_by_role("img")).to_have_count(0)
    expect(page.get_by_text("Person by person")).to_be_hidden()


def test_a_report_opens_and_its_scripts_do_not_run(opened, address, score, file):
    score.page = "<!doctype html><title>report</title><p>as {}</p><script>document.title = 'run'</script>"
    page = opened(address)
    page.get_by_label(CHOOSE).set_input_files(file())
    with page.context.expect_page() as popup:
        page.get_by_role("link", name="Open the full report").click()
    expect(popup.value.get_by_text("as clip.mp4")).to_be_visible()
    assert popup.value.title() == "report"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_read_on_a_narrow_screen_and_at_night(opened, address, score, file, scheme):
    score.held = True
    page = opened(address, viewport={"width": 400, "height": 800}, color_scheme=scheme)
    fits = functools.partial(page.evaluate, "document.documentElement.scrollWidth <= innerWidth")
    expect(page.get_by_text("A score is evidence")).to_be_visible()
    assert fits()
    assert page.evaluate(CONTRAST) == []
    page.get_by_label(CHOOSE).set_input_files(file("a_very_long_name_without_a_single_space_in_it" * 3 + ".mp4"))
    expect(page.get_by_text("1 of 10 steps")).to_be_visible()
    assert fits()
    assert page.evaluate(CONTRAST) == []
    score.step(10)
    expect(page.locator("#said")).to_be_visible()
    assert fits()
    assert page.evaluate(CONTRAST) == []


def test_the_interface_is_shown_offline(opened, address):
    page = opened(address)
    page.get_by_role("link", name="JSON interface").click()
    expect(page.locator(".opblock")).to_have_count(16)


def test_the_list_shows_jobs_and_leads_to_them(opened, address, score, file, video):
    page = opened(address)
    page.get_by_label(CHOOSE).set_input_files(file("<b>first.mp4"))
    expect(page.locator("#said")).to_have_text("Looks fake")
    score.held = True
    page.get_by_role("button", name="Another video").click()
    page.get_by_label(CHOOSE).set_input_files(file("second.mp4", video(51)))
    expect(page.get_by_text("1 of 10 steps")).to_be_visible()
    page.get_by_role("link", name="All videos").click()
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text("second.mp4being scored")
    expect(rows.nth(1)).to_contain_text("<b>first.mp4done<b>first.mp4: a reasonLooks fake0.900tiny")
    assert page.evaluate(CONTRAST) == []
    page.get_by_label("Show").select_option("done")
    expect(rows).to_have_count(1)
    page.get_by_label("Show").select_option("failed")
    expect(page.get_by_text("No videos.")).to_be_visible()
    page.get_by_label("Show").select_option("all")
    page.get_by_role("link", name="<b>first.mp4").click()
    expect(page.locator("#said")).to_have_text("Looks fake")


def test_a_key_is_asked_for_and_kept(opened, score, facts, temporary, file, tmp_path):
    path = str(tmp_path / "keys.json")
    key, _ = keys.add(path, "alice", 60, 9, False)
    with chromium.served(score, facts, LIMITS, keys=keys.Keys(path)) as address:
        page = opened(address)
        page.get_by_label("Your key").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator("#key-error")).to_contain_text("wants a key that it knows")
        page.get_by_label("Your key").fill(key)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_label(CHOOSE).set_input_files(file())
        expect(page.locator("#said")).to_have_text("Looks fake")
        page.goto(f"{address}jobs")
        expect(page.locator("tbody tr")).to_contain_text("alice")
        assert page.evaluate("document.cookie") == ""
        page.close()
