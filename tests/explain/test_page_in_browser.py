"""The page in a browser: the reader's language is shown, and it alone; nothing is asked from elsewhere."""

import pytest

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser():
    pytest.importorskip("playwright", reason="wants the extra app-test")
    import chromium

    if chromium.find() is None:
        pytest.skip("wants a Chromium of the system")
    with chromium.launched() as found:
        yield found


def test_a_reader_chooses_the_language_without_a_script(browser, build, video, tmp_path):
    from fusion_dfd.explain import page as pages

    _, place = pages.write(build("sequence"), video(30), str(tmp_path))
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"file://{place}")
    shown = {"en": "What is known", "de": "Was bekannt ist", "fr": "Ce que l'on sait"}
    for chosen, title in shown.items():
        page.click(f"label[for={chosen}]")
        assert page.get_by_text(title, exact=True).is_visible()
        for other in shown.keys() - {chosen}:
            assert not page.get_by_text(shown[other], exact=True).is_visible()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    context.close()
