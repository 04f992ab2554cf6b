"""The report in a real browser: nothing complains, tables sort, both colour schemes, nothing sticks out when narrow."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small import Small

from ensemble import init, write_report
from ensemble.report.charts.charts import Bars, Heatmap, Lines, Mark, Series
from ensemble.report.page.html import render
from ensemble.report.page.photos import GalleryRow, Match, Shot
from ensemble.report.page.pieces import Code, Figures, Gallery, Section, Table, Text, Warnings

BROWSER = os.environ.get("FINBLEND_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = os.environ.get("FINBLEND_CHROMEDRIVER") or shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    BROWSER is None or DRIVER is None,
    reason="needs chromium and chromedriver: apt-get install chromium chromium-driver",
)
FLAGS = ["headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"]
FLAGS += ["disable-component-update", "disable-sync", "hide-scrollbars", "force-prefers-reduced-motion"]
PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAP8AAAAAACH5BAAAAAAALAAAAAABAAEAAAICRAEAOw=="
LONG = "a_species_with_a_name_that_is_longer_than_any_that_was_ever_described"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for flag in [*FLAGS, f"user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with webdriver.Chrome(options=options, service=Service(str(DRIVER))) as driver:
        yield driver


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every kind of piece, with names that are too long and rows that are too many."""
    shot = Shot(f"{LONG}.jpg", PIXEL, [LONG, "0.93"], size=(200, 150))
    match = Match(1, [(0.1, 0.2, 0.3, 0.4), (0.5, 0.6, 0.7, 0.8)], f"2 matched marks with {LONG} ({LONG})")
    rows: list[list[Any]] = [
        [f"name {n}", (7 * n) % 40, f"{(11 * n) % 40:.1f} %", None if n == 3 else n / 7] for n in range(40)
    ]
    wide: list[list[Any]] = [[f"{LONG}{n}" for n in range(6)]]
    pieces: list[Any] = [
        Figures([("MAP@5", "0.8765"), (LONG, LONG)]),
        Warnings([LONG]),
        Text(LONG * 3),
        Table("Numbers", ["name", "count", "share", "score"], rows, LONG),
        Table("Wide", [f"{LONG} {n}" for n in range(6)], wide),
        Bars(LONG, LONG, LONG, "alt", [LONG, "b"], [1.0, 2.0], stacked={LONG: [1.0, 2.0], "q": [0.0, 0.0]}),
        Lines("t", "x", "y", "alt", [Series("s", [0.0, 1.0], [0.0, 1.0], points=True)], [Mark(0.5, LONG)]),
        Bars("t", LONG, LONG, "alt", [LONG, "b"], [0.8, 0.9], intervals=[(0.7, 0.85), (0.8, 0.95)]),
        Heatmap("t", "x", "y", "alt", [LONG, "b"], [[1.0, -0.2], [-0.2, 1.0]]),
        Code("finblend init P " + LONG * 4),
        Gallery([GalleryRow(shot, [shot] * 5, LONG), GalleryRow(Shot("x", None, []), [shot], "")]),
        Gallery([GalleryRow(shot, [shot] * 5, LONG, matches=[match] * 3)]),
    ]
    sections = [Section(f"part-{n}", f"{LONG[: 20 * n]} {n}", LONG, pieces) for n in (1, 2, 3)]
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(render(LONG, sections, LONG), encoding="utf-8")
    return path


def opened(browser: Any, path: Path, width: int, scheme: str = "light") -> Any:
    """The page at a width, without what an earlier test left behind; the width is the page's own."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.get_log("browser")
    browser.get(path.as_uri())
    browser.execute_script("localStorage.clear()")
    browser.refresh()
    assert browser.execute_script("return innerWidth") == width
    return browser


def ground(browser: Any) -> str:
    found = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    return str(found)


@pytest.mark.parametrize("width", [1280, 768, 400, 320])
def test_nothing_complains_and_nothing_sticks_out(browser: Any, page: Path, width: int) -> None:
    opened(browser, page, width)
    assert browser.get_log("browser") == []
    inside, whole = browser.execute_script(
        "return [document.documentElement.clientWidth, document.documentElement.scrollWidth]"
    )
    assert whole == inside == width
    # no scroll bar because nothing reaches out, not because it is cut off: what does reach out scrolls in its own box
    out = browser.execute_script(
        "const boxed = (e) => e.closest('.box, .shots, pre, .topbar nav, .skip');"
        "return [...document.querySelectorAll('main *, header *')].filter((e) => !boxed(e) && !e.closest('svg') &&"
        " e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 90))"
    )
    assert out == []
    scrolled = browser.execute_script(
        "const box = document.querySelectorAll('.box')[1]; box.scrollLeft = 50; return box.scrollLeft"
    )
    assert scrolled == 50


@pytest.mark.parametrize(("width", "shown"), [(1280, "wide"), (400, "narrow")])
def test_letters_of_charts_are_legible_at_every_width(browser: Any, page: Path, width: int, shown: str) -> None:
    opened(browser, page, width)
    seen = browser.execute_script(
        "return [...document.querySelectorAll('svg.chart')].filter((s) => s.getBoundingClientRect().width > 0)"
        ".map((s) => [s.classList[1], 12 * s.getBoundingClientRect().width / s.viewBox.baseVal.width])"
    )
    assert len(seen) == 12
    assert {kind for kind, _ in seen} == {shown}
    assert min(size for _, size in seen) >= 10


def test_tables_sort_by_a_click_and_by_the_keyboard(browser: Any, page: Path) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    opened(browser, page, 1280)
    table = browser.find_element(By.CSS_SELECTOR, "table")
    buttons = table.find_elements(By.CSS_SELECTOR, "th button")

    def column(n: int) -> list[str]:
        found = browser.execute_script(
            "return [...arguments[0].tBodies[0].rows].map((row) => row.cells[arguments[1]].textContent)", table, n
        )
        return [str(text) for text in found]

    def states() -> list[str]:
        return [str(th.get_attribute("aria-sort")) for th in table.find_elements(By.TAG_NAME, "th")]

    names = [f"name {n}" for n in range(40)]
    assert (column(0), states()) == (names, ["none"] * 4)
    buttons[1].click()
    assert [int(text) for text in column(1)] == sorted(range(40), reverse=True)
    assert states() == ["none", "descending", "none", "none"]
    buttons[1].send_keys(Keys.ENTER)
    assert [int(text) for text in column(1)] == list(range(40))
    assert states() == ["none", "ascending", "none", "none"]
    buttons[2].send_keys(Keys.SPACE)
    assert [float(text.split()[0]) for text in column(2)] == sorted(map(float, range(40)), reverse=True)
    for order in ("descending", "ascending"):
        buttons[3].click()
        assert states()[3] == order
        assert column(3)[-1] == "-"
    buttons[0].click()
    assert column(0) == names
    # rows stay whole
    assert column(1) == [str((7 * n) % 40) for n in range(40)]


def test_dark_follows_the_system_and_the_button(browser: Any, page: Path) -> None:
    from selenium.webdriver.common.by import By

    opened(browser, page, 1280, "light")
    light = ground(browser)
    opened(browser, page, 1280, "dark")
    dark = ground(browser)
    assert light != dark
    button = browser.find_element(By.ID, "theme")
    assert button.get_attribute("aria-label") == "Light colours"
    button.click()
    assert (ground(browser), button.get_attribute("aria-label")) == (light, "Dark colours")
    browser.refresh()
    assert ground(browser) == light
    browser.find_element(By.ID, "theme").click()
    assert ground(browser) == dark
    opened(browser, page, 1280, "light")
    browser.find_element(By.ID, "theme").click()
    assert ground(browser) == dark


def test_lines_between_marks_go_by_a_click_and_come_back(browser: Any, page: Path) -> None:
    from selenium.webdriver.common.by import By

    opened(browser, page, 1280)
    pair = browser.find_element(By.CSS_SELECTOR, "#part-1 .pair")

    def seen() -> list[bool]:
        return [path.is_displayed() for path in pair.find_elements(By.TAG_NAME, "path")]

    # both photos are shown again: as large as their rooms
    boxes = [use.rect for use in pair.find_elements(By.TAG_NAME, "use")]
    assert [round(box["height"] / pair.rect["height"], 2) for box in boxes] == [1.0, 1.0]
    assert seen() == [True, True]
    switch = browser.find_element(By.CSS_SELECTOR, "#part-1 .switch")
    switch.click()
    assert seen() == [False, False]
    # of this gallery only
    assert browser.find_element(By.CSS_SELECTOR, "#part-2 .pair path").is_displayed()
    switch.find_element(By.TAG_NAME, "input").send_keys(" ")
    assert seen() == [True, True]


CONTRAST = """
const channel = (v) => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
const luminance = (text) => {
  const [r, g, b] = text.match(/[\\d.]+/g).map(Number);
  return .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b);
};
const ground = (e) => {
  for (; e; e = e.parentElement) {
    const colour = getComputedStyle(e).backgroundColor;
    if (!/, 0\\)$/.test(colour)) return colour;
  }
};
const worst = {};
for (const e of document.querySelectorAll('main *, header *')) {
  const says = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  if (!says || e.closest('.skip, title, desc, .cell-text')) continue;
  const style = getComputedStyle(e), colour = e.closest('svg') ? style.fill : style.color;
  const [a, b] = [luminance(colour), luminance(ground(e.closest('svg') ? e.closest('svg').parentElement : e))];
  const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
  if (ratio < 4.5) worst[e.outerHTML.slice(0, 80)] = ratio;
}
return worst;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(browser: Any, page: Path, scheme: str) -> None:
    """WCAG 2's contrast of small text, 4.5 to 1."""
    opened(browser, page, 1280, scheme)
    assert browser.execute_script(CONTRAST) == {}


def test_in_print_everything_is_there_on_white(browser: Any, page: Path) -> None:
    opened(browser, page, 740, "dark")
    media = {"media": "print", "features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    try:
        assert ground(browser) == "rgb(255, 255, 255)"
        hidden = browser.execute_script(
            "return [...document.querySelectorAll('main *')].filter((e) => getComputedStyle(e).display === 'none')"
            ".map((e) => e.getAttribute('class'))"
        )
        assert set(hidden) <= {"quiet copy", "chart wide", "chart narrow"}
        shown = browser.execute_script(
            "return [...document.querySelectorAll('svg.chart')].filter((s) => s.getBoundingClientRect().width).length"
        )
        assert shown == 12
        # a table's box does not cut it off on paper
        cut = browser.execute_script(
            "return [...document.querySelectorAll('.box')].filter((b) => b.scrollHeight > b.clientHeight + 1).length"
        )
        assert cut == 0
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_the_navigation_says_which_section_is_read(browser: Any, page: Path) -> None:
    from selenium.webdriver.common.by import By

    opened(browser, page, 400)
    links = browser.find_elements(By.CSS_SELECTOR, ".topbar nav a")
    links[1].click()
    deadline = time.monotonic() + 10
    while links[1].get_attribute("aria-current") is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    top = browser.execute_script("return document.getElementById('part-2').getBoundingClientRect().top")
    assert 0 < top < 120
    assert links[0].get_attribute("aria-current") is None


def test_a_real_report_opens_without_complaint(browser: Any, small: Small, tmp_path: Path) -> None:
    init(tmp_path / "P", train=small.train_csv, test=small.sample_csv)
    told = write_report(tmp_path / "P", tmp_path / "report.html")
    opened(browser, tmp_path / "report.html", 400)
    assert browser.get_log("browser") == []
    sections = browser.execute_script(
        "return [...document.querySelectorAll('section')].filter((s) => s.offsetHeight > 100).map((s) => s.id)"
    )
    assert sections == told["sections"]
    assert browser.execute_script("return document.documentElement.scrollWidth") == 400


def test_the_policy_forbids_what_is_not_the_page_own(browser: Any, page: Path, tmp_path: Path) -> None:
    """A script that got in somehow does not run, and nothing is fetched: what the page's policy is for."""
    text = page.read_text(encoding="utf-8")
    wicked = "<script>document.title = 'run'</script><img src='https://example.org/x.png'>"
    path = tmp_path / "wicked.html"
    path.write_text(text.replace("</main>", wicked + "</main>"), encoding="utf-8")
    opened(browser, path, 1280)
    assert browser.title == LONG
    told = [entry["message"] for entry in browser.get_log("browser")]
    assert sum("Content Security Policy" in message for message in told) >= 2, told
