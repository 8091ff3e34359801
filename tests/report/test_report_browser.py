"""The report in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from report_facts import example, with_front

from tuning.report import write

api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed (extra `dev`)", exc_type=ImportError
)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium (apt-get install chromium)"),
]

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
TEN = [f"species {number}" for number in range(10)]
WIDE, NARROW = {"width": 1200, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser():
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Opened:
    """A report in a window, all figures drawn, with what it said and asked for meanwhile."""

    def __init__(self, browser, folder: Path, facts: dict, **window) -> None:
        write(facts, folder)
        self.address = (folder / "report.html").as_uri()
        self.page = browser.new_context(**window).new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(self.address)
        while self.page.evaluate("typeof waiting !== 'undefined' && waiting.length"):
            self.page.wait_for_timeout(50)

    def elsewhere(self) -> list[str]:
        """Requests that left the page."""
        return [url for url in self.asked if url != self.address and not url.startswith("data:")]


@pytest.fixture
def opened(browser, tmp_path):
    pages = []

    def open_report(facts: dict, **window) -> Opened:
        pages.append(Opened(browser, tmp_path, facts, **window))
        return pages[-1]

    yield open_report
    for each in pages:
        each.page.context.close()


@pytest.mark.parametrize(
    ("facts", "window"),
    [
        (
            with_front(example(30), ["accuracy", "parameters", "epoch_seconds"]),
            {"viewport": NARROW, "color_scheme": "dark", "is_mobile": True},
        ),
        (example(300, TEN), {"viewport": WIDE, "color_scheme": "dark"}),
        (example(12, running=True), {"viewport": NARROW}),
        (example(1, test=False), {"viewport": WIDE}),
        (example(3, scored=False), {"viewport": NARROW}),
        (example(0), {"viewport": WIDE}),
    ],
    ids=lambda value: f"{len(value['trials'])} trials" if "trials" in value else "",
)
def test_every_figure_is_drawn_and_nothing_leaves_the_page(opened, facts, window):
    report = opened(facts, **window)
    assert report.said == []
    assert report.elsewhere() == []
    places = report.page.evaluate("document.querySelectorAll('.plot').length")
    drawn = report.page.evaluate(
        "[...document.querySelectorAll('.plot')].filter(each => "
        "each.querySelector('.trace, .barlayer .point')).length"
    )
    assert drawn == places
    assert (places > 0) == any(trial["epochs"] for trial in facts["trials"])
    # A page that is wider than its window is hard to read on a phone.
    assert (
        report.page.evaluate("document.documentElement.scrollWidth") <= window["viewport"]["width"]
    )


def test_thumbnails_load(opened):
    report = opened(example(30), viewport=WIDE)
    widths = report.page.evaluate(
        "[...document.querySelectorAll('.mistake img')].map(each => each.naturalWidth)"
    )
    assert widths == [96] * 36  # mistakes, their heat, and labels that may be wrong


def test_the_table_sorts(opened):
    facts = example(30)
    page = opened(facts, viewport=WIDE).page

    def column(number: int) -> list[str]:
        return page.evaluate(
            "(number) => [...document.querySelectorAll('.sortable tbody tr')]"
            ".map(row => row.cells[number].dataset.value ?? row.cells[number].innerText)",
            number,
        )

    accuracies = [trial["best_accuracy"] for trial in facts["trials"]]
    known = sorted(each for each in accuracies if each is not None)
    missing = [""] * (len(accuracies) - len(known))
    # It comes sorted by accuracy, the highest first; those without one are last either way.
    assert column(1) == [*map(str, reversed(known)), *missing]
    page.get_by_role("button", name="Accuracy").click()
    assert column(1) == [*map(str, known), *missing]
    page.get_by_role("button", name="Trial", exact=True).click()
    assert column(0) == [str(number) for number in range(30)]
    page.get_by_role("button", name="Trial", exact=True).click()
    assert column(0) == [str(number) for number in reversed(range(30))]


def test_names_of_the_user_run_nowhere(opened):
    attack = "<img src=x onerror='window.hacked = 1'><script>window.hacked = 1</script>"
    facts = example(30, [attack, "dogs"], warnings=[attack])
    facts["run"]["name"] = attack
    for trial in facts["trials"]:
        trial["worker"] = trial["worker"] and attack
        trial["hyperparameters"]["augmentation"] += attack
    for mistake in facts["best"]["mistakes"]["most_confident"]:
        mistake["file"] = attack
    report = opened(facts, viewport=WIDE)
    page = report.page
    page.locator("#plot-history .points path").first.hover(force=True)
    page.wait_for_timeout(300)
    assert page.evaluate("window.hacked") is None
    assert report.said == []
    assert report.elsewhere() == []
    assert page.locator("h1").inner_text() == attack


def test_a_dark_theme_reaches_the_figures(opened):
    page = opened(example(30), viewport=WIDE, color_scheme="dark").page
    fill = "(each) => getComputedStyle(each).fill"
    assert page.locator("#plot-curves .xtick text").first.evaluate(fill) == "rgb(232, 236, 241)"
    assert page.locator("#plot-history .points path").first.evaluate(fill) == "rgb(86, 180, 233)"


def test_figures_fit_on_paper(opened):
    page = opened(example(30), viewport=WIDE).page
    widths = "[...document.querySelectorAll('.plot .main-svg')].map(each => each.clientWidth)"
    assert max(page.evaluate(widths)) > 1000
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.wait_for_timeout(300)
    assert max(page.evaluate(widths)) == 680
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.wait_for_timeout(300)
    assert max(page.evaluate(widths)) > 1000
