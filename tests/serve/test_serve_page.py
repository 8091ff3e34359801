"""The page of the server, in a real browser."""

import os
import shutil

import pytest
from exported import run_folder
from serving import CLASSES, ask, serving

from tuning.export import classifier

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def port(photos, tmp_path_factory):
    run = run_folder(tmp_path_factory.mktemp("page"), photos, CLASSES)
    with serving(classifier.load(run)) as port:
        yield port


@pytest.fixture(scope="module")
def photo(photos):
    return next((photos / "validation" / "dogs").iterdir())


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("needs Chromium as /usr/bin/chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
        flags += ["--disable-background-networking", "--disable-component-update"]
        if os.getuid() == 0:
            flags.append("--no-sandbox")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, port):
    """The page; fails when it complains or asks anybody else."""
    page = browser.new_page()
    faults, asked = [], []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"http://127.0.0.1:{port}/")
    yield page
    page.close()
    assert not [text for text in faults if "status of 4" not in text]  # of its own refusals
    own = (f"http://127.0.0.1:{port}/", f"blob:http://127.0.0.1:{port}/", "data:")
    assert all(url.startswith(own) for url in asked), asked


def bars(page):
    page.wait_for_selector("#bars:visible li")
    return {
        row.query_selector(".name").inner_text(): row.query_selector(".share").inner_text()
        for row in page.query_selector_all("#bars li")
    }


@pytest.mark.slow
def test_a_chosen_picture_gets_its_bars(page, port, photo, tmp_path):
    odd = tmp_path / "<img src=x onerror=alert(1)>.jpg"
    odd.write_bytes(photo.read_bytes())
    page.set_input_files("#file", odd)
    _, told = ask(port, photo.read_bytes())
    shares = {name: f"{100 * share:.1f} %" for name, share in told["probabilities"].items()}
    assert list(bars(page).items()) == list(shares.items())
    assert page.inner_text("#file-name") == odd.name
    assert told["class"] in page.inner_text("#why figcaption")
    shapes = page.eval_on_selector_all(
        "#heat, #preview", "both => both.map((b) => [b.naturalWidth, b.naturalHeight])"
    )
    drawn = page.eval_on_selector("#heat", "image => image.clientWidth / image.clientHeight")
    (width, height), heat = shapes
    assert heat == [48, 48]
    assert drawn == pytest.approx(width / height, abs=0.05)  # as the picture was
    assert page.eval_on_selector("#preview", "image => image.naturalWidth") > 0
    widths = page.eval_on_selector_all(
        "#bars .bar", "bars => bars.map((b) => b.clientWidth / b.parentElement.clientWidth)"
    )
    assert widths == pytest.approx(list(told["probabilities"].values()), abs=0.01)


def test_a_dropped_picture_and_then_one_that_is_none(page, photo):
    drop = """([bytes, name]) => {
        const files = new DataTransfer();
        files.items.add(new File([new Uint8Array(bytes)], name));
        const event = {bubbles: true, cancelable: true, dataTransfer: files};
        document.getElementById("drop").dispatchEvent(new DragEvent("drop", event));
    }"""
    page.evaluate(drop, [list(photo.read_bytes()), "a.jpg"])
    assert sorted(bars(page)) == sorted(CLASSES)
    page.evaluate(drop, [list(b"I am none"), "b.jpg"])
    page.wait_for_selector("#message.bad")
    assert "no picture that can be read" in page.inner_text("#message")
    assert not page.is_visible("#bars")
    assert not page.is_visible("#preview")


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_a_dark_theme(page, photo, width, scheme):
    page.set_viewport_size({"width": width, "height": 700})
    page.emulate_media(color_scheme=scheme)
    page.set_input_files("#file", photo)
    bars(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    contrasts = page.evaluate(
        """() => {
        const luminance = (colour) => {
            const [r, g, b] = colour.match(/\\d+/g).map((c) => c / 255)
                .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const paper = luminance(getComputedStyle(document.body).backgroundColor);
        return [...document.querySelectorAll("h1, p, strong, .name, .share")].map((element) => {
            const ink = luminance(getComputedStyle(element).color);
            return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
        });
    }"""
    )
    # WCAG 2.2, success criterion 1.4.3.
    assert min(contrasts) >= 4.5
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 27)"
    assert dark == (scheme == "dark")
