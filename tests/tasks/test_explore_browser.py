"""The page of task=explore in a real browser: what a visitor does, and what comes of it."""

import base64
import io
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT, Command

pytest.importorskip("nicegui")
selenium = pytest.importorskip("selenium.webdriver")

from selenium.webdriver.common.by import By  # noqa: E402  # these need selenium
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

from tests.tasks.served import STRANGE  # noqa: E402
from vqgen.tasks.explore.completion import Completion  # noqa: E402
from vqgen.tasks.explore.latent_space import LatentSpace  # noqa: E402
from vqgen.tasks.explore.likelihood import Likelihood  # noqa: E402
from vqgen.tasks.explore.mixtures import Mixtures  # noqa: E402
from vqgen.tasks.explore.panel import Panel  # noqa: E402
from vqgen.tasks.explore.reconstruction import Reconstruction  # noqa: E402
from vqgen.tasks.explore.samples import Samples  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no browser: apt-get install chromium chromium-driver"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    options = selenium.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,1000"):
        options.add_argument(argument)
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = selenium.Chrome(options, selenium.ChromeService(DRIVER))
    yield driver
    driver.quit()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A server in a process of its own, whose output goes to a file.

    It is not to know of pytest: NiceGUI then takes a way of its own for tests.
    """

    def __init__(self, folder: Path, *words: str, cwd: Path) -> None:
        env = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
        self.told = folder / "server.txt"
        with self.told.open("w") as file:
            command = [sys.executable, *words]
            self.process = subprocess.Popen(command, cwd=cwd, env=env, stdout=file, stderr=subprocess.STDOUT)

    def address(self) -> str:
        """Where it is, as soon as it says so."""
        for _ in range(600):
            if found := re.search(r"http://127\.0\.0\.1:\d+", self.told.read_text()):
                return found[0]
            time.sleep(0.1)
        raise AssertionError(self.told.read_text())

    def end(self) -> None:
        """By Ctrl-C, and without an error until then."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(timeout=30) == 0
        assert "Traceback" not in self.told.read_text(), self.told.read_text()


@pytest.fixture
def visit(browser: Any, tmp_path: Path) -> Iterator[Callable[[str], "Visit"]]:
    """Serves a tiny run, and opens its page at a panel."""
    servers = []

    def opened(kind: str, panel: type[Panel]) -> Visit:
        servers.append(Server(tmp_path, "-m", "tests.tasks.served", kind, str(_free_port()), cwd=ROOT))
        return Visit(browser, servers[-1].address(), panel)

    yield opened
    browser.get("about:blank")  # or it would ask for a server that is gone
    for server in servers:
        server.end()


class Visit:
    """A page at a panel, whose first picture is there."""

    def __init__(self, browser: Any, address: str, panel: type[Panel]) -> None:
        self.browser = browser
        browser.get_log("browser")
        browser.get(address)
        self.look(panel)

    def look(self, panel: type[Panel]) -> None:
        """Go to a panel and wait for its first picture, which comes with its command line."""
        self.until(lambda: [tab for tab in self.all(".q-tab") if panel.title in tab.text])[0].click()
        self.until(lambda: self.all(f".{panel.__name__} .command-line")[0].text)

    def all(self, css: str) -> list[Any]:
        return [element for element in self.browser.find_elements(By.CSS_SELECTOR, css) if element.is_displayed()]

    def until(self, found: Callable[[], Any], seconds: float = 60) -> Any:
        return WebDriverWait(self.browser, seconds, poll_frequency=0.1, ignored_exceptions=[Exception]).until(
            lambda _: found()
        )

    def picture(self, css: str) -> str:
        return self.all(f"{css} img")[0].get_attribute("src")

    def command(self) -> str:
        return "".join(element.text for element in self.all(".command-line"))

    def changed(self, css: str, act: Callable[[], Any]) -> None:
        """Wait until a picture is another after an act."""
        before = self.until(lambda: self.picture(css))
        act()
        self.until(lambda: self.picture(css) != before)

    def pull(self, css: str, *points: tuple[float, float]) -> None:
        """Press the button at the first of some points, given as shares of an element, and let it go at the last."""
        image = self.all(f"{css} img")[0]
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", image)
        w, h = image.size["width"], image.size["height"]
        actions = selenium.ActionChains(self.browser)
        for i, (x, y) in enumerate(points):
            actions.move_to_element_with_offset(image, (x - 0.5) * w, (y - 0.5) * h)
            if i == 0:
                actions.click_and_hold()
        actions.release().perform()

    def errors(self) -> list[str]:
        return [entry["message"] for entry in self.browser.get_log("browser") if entry["level"] == "SEVERE"]


def test_samples_follow_seed_and_class_and_the_name_of_a_class_runs_nothing(visit: Callable[..., Visit]):
    page = visit("vqvae2", Samples)
    seed = page.all(".seed input")[0]
    page.changed(".samples", lambda: seed.send_keys("7"))
    assert "seed=7" in page.until(lambda: "seed=7" in page.command() and page.command())
    page.all(".class-of-samples")[0].click()
    option = page.until(lambda: [item for item in page.all(".q-item") if STRANGE in item.text])[0]
    page.changed(".samples", option.click)
    assert page.until(lambda: STRANGE in page.command())
    assert page.browser.title == "x - vqgen"
    assert not page.errors()


def test_a_click_in_the_plane_and_a_pulled_point_change_the_decoded_image(visit: Callable[..., Visit]):
    page = visit("vae", LatentSpace)
    page.changed(".decoded", lambda: page.pull(".plane", (0.7, 0.3)))
    page.changed(".decoded", lambda: page.pull(".plane", (0.7, 0.3), (0.5, 0.5), (0.2, 0.8)))
    points = page.until(lambda: re.search(r"points=\[\[(.+?),(.+?)\]\]", page.command()))
    assert float(points[1]) < 0
    assert float(points[2]) < 0
    assert STRANGE in page.browser.find_element(By.TAG_NAME, "body").text
    assert page.browser.title == "x - vqgen"
    assert not page.errors()


def test_a_brushed_hole_is_painted_and_what_is_kept_stays(visit: Callable[..., Visit]):
    page = visit("vqvae2", Completion)
    clear = next(button for button in page.all("button") if button.text.lower() == "clear")
    page.changed(".variant", clear.click)
    assert not page.browser.find_elements(By.CSS_SELECTOR, ".canvas svg rect")
    page.changed(".variant", lambda: page.pull(".canvas", (0.6, 0.6), (0.8, 0.8), (0.9, 0.9)))
    assert page.browser.find_elements(By.CSS_SELECTOR, ".canvas svg rect")
    assert "keep=mask.png" in page.command()
    assert not page.errors()


def test_the_code_under_the_pointer_is_named_and_levels_are_switched_off(visit: Callable[..., Visit]):
    page = visit("vqvae2", Reconstruction)
    page.pull(".map-of-1", (0.9, 0.1))
    told = page.until(
        lambda: [e.text for e in page.all(".code-told") if "by use" in e.text] or page.pull(".map-of-1", (0.9, 0.1))
    )[0]
    assert re.match(r"bottom: code \d+, row 0, column 3; [\d.]+% of the codes", told)
    page.changed(".reconstruction", page.all(".q-checkbox")[0].click)
    assert not page.errors()


def test_a_file_is_dropped_on_the_page(visit: Callable[..., Visit], tmp_path: Path):
    Image.new("RGB", (20, 20), "red").save(tmp_path / "red.png")
    page = visit("vqvae2", Reconstruction)

    def drop(name: str) -> None:
        page.browser.find_element(By.CSS_SELECTOR, ".drop input[type=file]").send_keys(str(tmp_path / name))

    page.changed(".reconstruction", lambda: drop("red.png"))
    assert "images=[red.png]" in page.until(lambda: "red.png" in page.command() and page.command())
    (tmp_path / "none.png").write_text("no image")
    drop("none.png")
    page.until(lambda: [e for e in page.all(".q-notification") if "cannot be read as an image" in e.text])
    assert not page.errors()


def test_every_panel_comes_up_without_an_error(visit: Callable[..., Visit]):
    page = visit("vqvae2", Samples)
    for panel in (Completion, Reconstruction, Mixtures, Likelihood):
        page.look(panel)
    assert not page.errors()


def test_the_command_shows_what_its_command_lines_make_writes_nothing_and_ends_by_ctrl_c_in_the_middle(
    command: Command, browser: Any, tmp_path: Path
):
    folder = command.folder  # type: ignore[attr-defined]
    before = sorted(folder.rglob("*"))
    server = Server(tmp_path, str(ROOT / "sample.py"), "task=explore", "browser=false", cwd=folder)
    page = Visit(browser, server.address(), Samples)
    page.changed(".samples", lambda: page.all(".seed input")[0].send_keys("123456789"))
    words = shlex.split(page.until(lambda: "123456789" in page.command() and page.command()))
    shown = Image.open(io.BytesIO(base64.b64decode(page.picture(".samples").partition(",")[2])))
    page.all(".seed input")[0].send_keys("1")  # it is being drawn when Ctrl-C comes
    server.end()
    assert sorted(folder.rglob("*")) == before
    done = command(*words[1:], f"out={tmp_path / 'made'}")
    assert done.returncode == 0, done.stderr
    assert np.array_equal(np.asarray(shown), np.asarray(Image.open(tmp_path / "made" / "samples.png")))
