"""Pages in Chromium: no errors, no request to any network, no scrolling sideways; filters; light, dark and narrow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.reports.made import SCRIPT, classify_report, identify_report
from tests.small_runs import DATASET
from vmacore.reports.classified import classify_page
from vmacore.reports.gathering import Asked, described, measure
from vmacore.reports.identified import identify_page
from vmacore.reports.run import run_page
from vmacore.runs.directory import RunDirectory
from vmacore.runs.finding import find_run
from vmacore.runs.opening import OpenRun
from vmacore.runs.weights import load_model

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WINDOWS = {"wide": (1280, 800), "narrow": (390, 844)}


@pytest.fixture(scope="module")
def pages(straight: RunDirectory, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of each kind, as files."""
    folder = tmp_path_factory.mktemp("pages")
    location = find_run(straight.path, runs_dir=straight.path.parent)
    report = described(location, Asked(episodes=4, targets=12))
    measure(report, OpenRun(location, load_model(location), DATASET, torch.device("cpu")))
    report.missing.append(("Something", "a-long-name-without-a-space/" * 20))
    made = {
        "identify": identify_page(identify_report(folder / ("long" * 30))),
        "classify": classify_page(classify_report()),
        "run": run_page(report),
    }
    for name, page in made.items():
        (folder / f"{name}.html").write_text(page, "utf-8")
    return {name: folder / f"{name}.html" for name in made}


@pytest.fixture
def show(browser: Browser) -> Callable[..., AbstractContextManager[Page]]:
    """Opens a page; at the end nothing may have gone wrong in it, and nothing may have been asked for."""

    @contextmanager
    def shown(file: Path, window: str = "wide", **how: Any) -> Iterator[Page]:
        width, height = WINDOWS[window]
        context = browser.new_context(viewport={"width": width, "height": height}, **how)
        asked: list[str] = []
        wrong: list[str] = []

        def route(request: Any) -> None:
            asked.append(request.request.url)
            if request.request.url == file.as_uri():
                request.continue_()
            else:
                request.abort()

        context.route("**/*", route)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        page.goto(file.as_uri())
        yield page
        assert wrong == []
        assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
        context.close()

    return shown


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("window", list(WINDOWS))
@pytest.mark.parametrize("name", ["identify", "classify", "run"])
def test_a_page_fits_and_is_legible(
    pages: dict[str, Path], show: Callable[..., Any], name: str, window: str, scheme: str
) -> None:
    with show(pages[name], window, color_scheme=scheme) as page:
        if name == "run":
            for summary in page.locator("summary").all():
                summary.click()
        across = page.evaluate("document.scrollingElement.scrollWidth")
        assert across <= WINDOWS[window][0]
        broken = "images => images.filter(image => !image.complete || !image.naturalWidth).length"
        assert page.locator("img").evaluate_all(broken) == 0
        assert page.locator("img").count() > 10
        # The policy lets the style in, and its colours go with the scheme.
        dark, light = contrast(page, "body"), contrast(page, "h1")
        assert dark[0] == light[0]
        ground, ink = dark
        assert (ground < ink) == (scheme == "dark")
        for place in ("p.soft", ".badge", "thead th", ".legend li"):
            for element in page.locator(place).all()[:6]:
                assert ratio(*contrast(element, None)) >= 4.5, f"{place}: {element.text_content()}"


def contrast(place: Any, selector: str | None) -> tuple[float, float]:
    """Relative luminance of the ground behind an element and of its letters, as WCAG has it."""
    element = place.locator(selector).first if selector else place
    colours = element.evaluate(
        """element => {
            let behind = element;
            const ground = node => getComputedStyle(node).backgroundColor;
            while (ground(behind) === "rgba(0, 0, 0, 0)" && behind.parentElement) behind = behind.parentElement;
            return [ground(behind), getComputedStyle(element).color];
        }"""
    )
    return tuple(_luminance(colour) for colour in colours)  # type: ignore[return-value]


def ratio(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def visible(page: Page) -> list[str]:
    """Names of the pictures that are shown."""
    return [card.locator("h3").inner_text() for card in page.locator(".card").all() if card.is_visible()]


def test_filters(pages: dict[str, Path], show: Callable[..., Any]) -> None:
    with show(pages["identify"]) as page:
        told = page.locator("output")
        every = visible(page)
        assert len(every) == 11
        assert told.inner_text() == "11 of 11 shown"
        page.select_option("select[name=outcome]", "unreadable")
        assert sorted(visible(page)) == ["new/blank.png", "script>&.png"]
        assert told.inner_text() == "2 of 11 shown"
        page.fill("input[name=words]", "BLANK new")
        assert visible(page) == ["new/blank.png"]
        page.click("button[type=reset]")
        page.wait_for_function("document.querySelector('output').value.startsWith('11 of')")
        assert visible(page) == every
        page.fill("input[name=words]", "c/")
        assert set(visible(page)) >= {"c/0.png", "c/1.png", "c/2.png"}
        page.fill("input[name=words]", "no such words")
        assert visible(page) == []
        page.press("input[name=words]", "Enter")  # sends no form
        assert page.url == pages["identify"].as_uri()


def test_filter_by_class(pages: dict[str, Path], show: Callable[..., Any]) -> None:
    with show(pages["classify"]) as page:
        every = visible(page)
        page.select_option("select[name=class]", label=SCRIPT)
        some = visible(page)
        assert 0 < len(some) < len(every)
        for card in page.locator(".card:visible").all():
            assert SCRIPT in card.inner_text()
        page.select_option("select[name=outcome]", "wrong")
        assert 0 < len(visible(page)) <= len(some)
        assert page.locator(".card.right:visible").count() == 0


def test_a_keyboard_suffices(pages: dict[str, Path], show: Callable[..., Any]) -> None:
    with show(pages["classify"]) as page:
        reached = []
        for _ in range(12):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.name || document.activeElement.getAttribute('role')"))
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none"
            if reached[-1] == "words":
                break
        assert "region" in reached
        assert reached[-3:] == ["outcome", "class", "words"]


@pytest.mark.parametrize("name", ["identify", "classify", "run"])
def test_without_javascript(pages: dict[str, Path], show: Callable[..., Any], name: str) -> None:
    with show(pages[name], java_script_enabled=False) as page:
        assert page.locator("form.filters:visible").count() == 0
        assert page.locator(".card:visible").count() == page.locator(".card").count()
        assert page.locator("h1").is_visible()
