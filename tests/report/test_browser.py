"""The page in a browser: headless Chromium, where there is one."""

import base64
import io
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from crstack.datasets import make_stack
from crstack.report import Layer, Report, list_hits, render

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver")
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("there is no Chromium with its driver here")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}", "--window-size=1280,900"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def report():
    simulated = make_stack("imaging", shape=(90, 120), hit_rate=0.03, seed=5)
    images = np.stack([ccd.data for ccd in simulated.exposures]).astype(np.float32)
    codes = {f"CRMASK{i + 1}": 2 * plane.astype(np.uint8) for i, plane in enumerate(simulated.truth)}
    number = simulated.truth.sum(axis=0)
    codes |= {"MEDIANCR": 2 * (number > 1).astype(np.uint8), "MEANCRT": 2 * (number > 0).astype(np.uint8)}
    codes["MEANCR"] = np.zeros_like(codes["MEANCRT"])
    from crstack.masks import MaskSet

    masks = MaskSet(codes, probability=simulated.truth.astype(np.float16))
    ordered = np.sort(images, axis=0)
    hits, counts = list_hits(masks, ordered[-1] - ordered[0])
    layers = [Layer("median2d", "the median", ordered[1], "MEDIANCR"), Layer("result", "the mean", images.mean(axis=0))]
    layers += [
        Layer(f"exposure {i + 1}", f"e{i}.fits", image, f"CRMASK{i + 1}", i + 1) for i, image in enumerate(images)
    ]
    return Report(
        title="a page",
        sentence="What came out.",
        warnings=("one warning",),
        layers=tuple(layers),
        codes=masks.codes,
        finder=masks.finder,
        probability=masks.probability,
        hits=tuple(hits),
        hits_notes=(),
        counts=counts,
        unit="electron",
    )


@pytest.fixture(params=["all pixels", "blocks"])
def opened(request, driver, report, tmp_path, monkeypatch):
    """The page in the browser, with all pixels or with blocks and tiles."""
    if request.param == "blocks":
        monkeypatch.setattr("crstack.report.page.OVERVIEWS", 12_000)
    return open_page(driver, report, tmp_path)


def open_page(driver, report, folder):
    from selenium.webdriver.support.ui import WebDriverWait

    path = folder / "report.html"
    path.write_text(render(report), encoding="utf-8")
    driver.get_log("browser")  # empties it
    driver.get(path.as_uri())
    WebDriverWait(driver, 20).until(lambda d: d.execute_script("return document.documentElement.dataset.ready"))
    settle(driver)
    return driver


def test_the_viewer_says_that_images_are_loading_until_it_shows_them(driver, report, tmp_path):
    page = render(report)
    script = page.rindex("<script>")
    (tmp_path / "loading.html").write_text(page[:script], encoding="utf-8")
    driver.get((tmp_path / "loading.html").as_uri())
    wait = driver.find_element("id", "wait")
    assert wait.is_displayed()
    assert wait.text == "Loading the images ..."
    box, image = wait.rect, driver.find_element("id", "image").rect
    assert abs(box["y"] + box["height"] / 2 - image["y"] - image["height"] / 2) < 5
    open_page(driver, report, tmp_path)
    assert not driver.find_elements("id", "wait")


@pytest.mark.parametrize(("shape", "wide"), [((60, 1500), True), ((1500, 60), False)])
def test_a_long_image_is_first_shown_in_a_part_that_can_be_seen(driver, report, tmp_path, shape, wide):
    """As a whole it would be a line."""
    image = np.random.default_rng(1).normal(0, 1, shape).astype(np.float32)
    codes = {name: np.zeros(shape, np.uint8) for name in report.codes}
    long = replace(
        report, layers=(Layer("long", "", image),), codes=codes, probability=None, hits=(), counts={"single": 0}
    )
    page = open_page(driver, long, tmp_path)
    sides = page.execute_script("const i = document.getElementById('image'); return [i.clientWidth, i.clientHeight]")
    zoom = float(state(page)["zoom"])
    assert zoom == pytest.approx(sides[1] / 60 / 4 if wide else sides[0] / 60 / 4, rel=0.01)
    words = page.find_element("id", "scale").text
    assert ("of 1500 pixels wide" in words) == wide
    page.find_element("id", "whole").click()
    assert float(state(page)["zoom"]) == pytest.approx(min(sides[0] / shape[1], sides[1] / shape[0]), rel=0.01)


def test_wide_tables_have_a_shadow_where_they_go_on(opened):
    page = opened
    page.set_window_size(500, 900)
    style = "return getComputedStyle(document.querySelector('#hits .scroll'))"
    try:
        assert page.execute_script(f"{style}.backgroundAttachment").count("local") == 2
        assert page.execute_script(f"{style}.backgroundImage").count("linear-gradient") == 4
    finally:
        page.set_window_size(1280, 900)


def settle(driver):
    """Wait until the requested image is drawn."""
    wait = "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))"
    driver.execute_async_script(wait)


def state(driver):
    settle(driver)
    return driver.execute_script("return {...document.getElementById('image').dataset}")


def drawn(driver):
    """Pixels of the image as it is drawn, RGBA."""
    settle(driver)
    text = driver.execute_script("return document.getElementById('image').toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text.partition(",")[2]))))


def press(driver, keys):
    driver.find_element("id", "image").send_keys(keys)


def test_loads_without_an_error(opened):
    assert [entry for entry in opened.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    assert state(opened)["layer"] == "median2d"
    image = drawn(opened)
    assert len(np.unique(image[..., 0])) > 20
    assert "one warning" in opened.find_element("css selector", ".warnings").text


def test_click_in_the_table_moves_the_image(opened, report):
    before = drawn(opened)
    for row in (3, 0):
        opened.find_elements("css selector", "#hits tbody tr")[row].click()
        left, right, bottom, top = report.hits[row].box
        now = state(opened)
        assert float(now["x"]) == pytest.approx((left + right) / 2)
        assert float(now["y"]) == pytest.approx((bottom + top) / 2)
        assert float(now["zoom"]) > 5
    assert (drawn(opened) != before).any()


def test_values_of_a_hit_are_those_of_the_pixels(opened, report):
    opened.find_elements("css selector", "#hits tbody tr")[0].click()
    settle(opened)
    now = state(opened)
    x, y = (int(np.floor(float(now[name]) + 0.5)) for name in ("x", "y"))
    lines = opened.find_element("id", "where").text.splitlines()
    shown_x, shown_y = (int(word.split()[1]) for word in lines[0].split(","))
    assert abs(shown_x - x) <= 1
    assert abs(shown_y - y) <= 1
    for layer, button in zip(report.layers, opened.find_elements("css selector", "#layers button"), strict=True):
        name, value = button.get_attribute("innerText").split("\n")[-2:]
        assert name == layer.name
        number, unit = value.split()
        assert unit == "electron"  # without the sign of a block
        assert float(number) == pytest.approx(layer.image[shown_y - 1, shown_x - 1], rel=2e-3, abs=0.02)


def test_blink_changes_the_layer(opened):
    import time

    first = drawn(opened)
    press(opened, "3")
    assert state(opened)["layer"] == "exposure 1"
    assert (drawn(opened) != first).any()
    button = opened.find_element("id", "blink")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    seen = set()
    for _ in range(30):
        seen.add(state(opened)["layer"])
        time.sleep(0.05)
    assert seen == {"median2d", "exposure 1"}
    button.click()
    assert button.get_attribute("aria-pressed") == "false"


def test_keys_zoom_move_and_hide(opened):
    whole = state(opened)
    press(opened, "+")
    assert float(state(opened)["zoom"]) == pytest.approx(1.5 * float(whole["zoom"]))
    from selenium.webdriver.common.keys import Keys

    press(opened, Keys.ARROW_RIGHT)
    press(opened, Keys.ARROW_UP)
    moved = state(opened)
    assert float(moved["x"]) > float(whole["x"])
    assert float(moved["y"]) > float(whole["y"])
    press(opened, "0")
    assert state(opened) == whole
    press(opened, "n")
    first = state(opened)
    press(opened, "n")
    assert state(opened) != first
    press(opened, "p")
    assert state(opened) == first
    with_mask = drawn(opened)
    press(opened, "m")
    assert (drawn(opened) != with_mask).any()


def test_heads_sort_the_table(opened):
    def column(i):
        cells = opened.find_elements("css selector", f"#hits tbody td:nth-child({i})")
        return [float(cell.get_attribute("innerText")) for cell in cells[:50]]

    head = opened.find_element("css selector", "#hits th:nth-child(5) button")
    head.click()
    assert column(5) == sorted(column(5))
    head.click()
    assert column(5) == sorted(column(5), reverse=True)
    assert column(5)[0] > column(5)[-1]
    assert head.find_element("xpath", "..").get_attribute("aria-sort") == "descending"


@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_is_wider_than_the_window(driver, report, tmp_path, width):
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        open_page(driver, report, tmp_path)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
        assert driver.find_element("id", "image").size["width"] > 0.4 * width
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_what_is_not_known_is_said(driver, report, tmp_path):
    image = report.layers[0].image.copy()
    image[:] = np.nan
    layers = (replace(report.layers[0], image=image), *report.layers[1:])
    open_page(driver, replace(report, layers=layers), tmp_path)
    settle(driver)
    assert "no value" in driver.find_element("css selector", "#layers button").get_attribute("innerText")
