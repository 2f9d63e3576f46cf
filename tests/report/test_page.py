"""The page in a browser, from the disk: no errors, no requests, sorting, filtering, toggles, names
from data as text."""

import shutil
from pathlib import Path

import pytest

from beyondlinear.report.write import write_report

ROOT = Path(__file__).parent.parent.parent
NASTY = "<script>alert(1)</script>"
AXE = ROOT / ".node" / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="module")
def report(make_sweep, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    make_sweep(
        folder / "sweep",
        datasets=(NASTY + ", wider than a phone" * 3, "second"),
        classes=(NASTY, "$x_1$ & <b>"),
        fractions=(0.25, 0.5, 0.75, 1.0),
    )
    (folder / "sweep" / f"fits_{'unbroken' * 20}.json").write_text("{")  # a word wider than a phone
    write_report([str(folder / "sweep")], folder / "report", said=lambda text: None)
    return folder / "report"


def test_everything_is_written(report):
    for name in (
        "learning_curve",
        "before_after",
        "confusion",
        "recall",
        "training",
        "cost",
        "reliability",
    ):
        for suffix, start in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")):
            assert (report / "figures" / f"{name}.{suffix}").read_bytes().startswith(start)
    assert len((report / "tables" / "fits.csv").read_text().splitlines()) == 1 + 2 * 2 * 2 * 5 * 4


def test_names_from_data_are_escaped(report):
    text = (report / "index.html").read_text()
    assert NASTY not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


@pytest.fixture(scope="module")
def browser():
    chromium = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    if chromium is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright (the dev extra)"
    )
    with playwright.sync_playwright() as p:
        opened = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser, report):
    """The page, opened from the disk; what it logged and what it asked for."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    opened.said, opened.asked = [], []
    opened.on("console", lambda message: opened.said.append(message.text))
    opened.on("pageerror", lambda error: opened.said.append(str(error)))
    opened.on("dialog", lambda dialog: (opened.said.append(dialog.message), dialog.dismiss()))
    opened.on("request", lambda request: opened.asked.append(request.url))
    opened.goto((report / "index.html").as_uri())
    opened.wait_for_selector("#plot .scatterlayer")
    yield opened
    assert opened.said == []
    assert [url for url in opened.asked if not url.startswith("data:")] == [
        (report / "index.html").as_uri()
    ]
    context.close()


def column(page, table: str, n: int) -> list[str]:
    return page.eval_on_selector_all(
        f"#{table} tbody tr:not([hidden])", f"rows => rows.map(r => r.cells[{n}].dataset.value)"
    )


def test_a_table_sorts_and_filters(page):
    heads = page.eval_on_selector_all("#cells thead th", "heads => heads.map(h => h.textContent)")
    n = heads.index("balanced accuracy")
    button = page.locator("#cells thead th").nth(n).locator("button")
    button.focus()
    page.keyboard.press("Enter")
    up = [float(v) for v in column(page, "cells", n)]
    assert up == sorted(up)
    assert up[0] < up[-1]
    button.click()
    assert [float(v) for v in column(page, "cells", n)] == sorted(up, reverse=True)
    page.fill("#cells-filter", "ridge class_means second")
    assert page.inner_text("#cells-count") == f"4 of {len(up)} rows"


def test_models_toggle_and_values_show_on_hover(page):
    drawn = "document.querySelectorAll('#plot .scatterlayer .trace').length"
    before = page.evaluate(drawn)
    page.uncheck('input[data-learner="three_layer"]')
    assert page.evaluate(drawn) == before / 2
    page.uncheck('input[data-signal="removed"]')
    assert page.evaluate(drawn) == before / 4
    page.select_option("#panel", "second")
    page.locator("#plot").scroll_into_view_if_needed()
    box = page.locator("#plot .scatterlayer .points path").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector("#plot .hoverlayer .hovertext")
    assert "balanced accuracy" in page.text_content("#plot .hoverlayer")


def test_dark_and_phone(page):
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    page.click("#theme")
    assert page.evaluate(colour) != light
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(600)  # plotly redraws after a pause
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_print_shows_whole_tables_with_their_heads(page):
    page.set_viewport_size({"width": 1030, "height": 700})  # A4, landscape, without its margins
    page.emulate_media(media="print")
    assert page.locator("#cells thead button").first.is_visible()
    assert not page.locator("#theme").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 1030


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser, report, scheme):
    if not AXE.exists():
        pytest.skip("needs axe-core (npm install --prefix .node axe-core)")
    context = browser.new_context(bypass_csp=True, color_scheme=scheme)
    page = context.new_page()
    page.goto((report / "index.html").as_uri())
    page.add_script_tag(path=str(AXE))
    found = page.evaluate("axe.run()")["violations"]
    context.close()
    assert [(v["id"], v["impact"]) for v in found if v["impact"] in ("serious", "critical")] == []
