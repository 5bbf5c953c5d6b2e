"""The page in a browser: it loads, its time line moves the picture, two clicks measure what the scene has."""

import re
import shutil
import subprocess
import sys

import pytest

from tests.viewer.clips import DEPTH, SIZE, write_depth_folder

pytest.importorskip("viser", reason="the extra [view] is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OFFLINE = (
    "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip
# What the page's library says of itself and of a machine without a graphics card.
EXPECTED = re.compile("THREE.Clock|WebGL|GPU stall|swiftshader", re.IGNORECASE)


def test_two_clicks_measure_a_distance_with_its_interval(tmp_path):
    import numpy as np

    from endodav_jax.viewer.folders import open_folder
    from endodav_jax.viewer.page import Page, Shown, quiet_server

    server = quiet_server()
    try:
        page = Page(server, open_folder(write_depth_folder(tmp_path / "out")), "http://here/")
        page.apply(Shown(frame=2, cloud="depth"))
        at = np.array([4.0, 0, 0])  # of the third camera
        for column in (11, 51):
            page.click(at, np.array([(column - 31.5) / 60, 0.5 / 60, 1.0]))
        assert page.distance() == pytest.approx(DEPTH * 40 / 60, rel=1e-5)
        assert re.search(r"Distance: \*\*3[2-4]\.?\d* mm \(3\d.* to 3\d.*\)\*\*", page.measured())
        page.apply(Shown(frame=3))
        assert np.isnan(page.distance())
        assert page.shown().frame == 3
    finally:
        server.stop()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_page_works_in_a_browser(tmp_path):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    folder = write_depth_folder(tmp_path / "out")
    command = [sys.executable, "-m", "endodav_jax.cli", "view", str(folder), "--port", "0", "--no-browser"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program,
        playwright.sync_playwright() as driver,
    ):
        try:
            address = program.stdout.readline().split()[0]
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(OFFLINE))
            page = browser.new_page(viewport={"width": 1000, "height": 700})
            said: list[str] = []
            page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: said.append(str(error)))
            page.goto(address)
            page.get_by_text("Frame 0: frame | depth").wait_for(timeout=60_000)
            page.goto(f"{address}?frame=2")
            page.get_by_text("Frame 2: frame | depth").wait_for(timeout=60_000)
            page.wait_for_timeout(3000)  # for the points
            # The canvas is what the panel at the right leaves free; the scene is seen from behind the camera.
            for x in (250, 400):
                page.mouse.click(x, 350)
                page.wait_for_timeout(1500)
            text = page.get_by_text("Distance:").inner_text(timeout=30_000)
            measured = float(re.search(r"Distance: ([\d.]+) mm", text)[1])
            assert 1 < measured < DEPTH * SIZE[1] / 60
            assert [line for line in said if not EXPECTED.search(line)] == []
            browser.close()
        finally:
            program.terminate()


def test_a_scene_file_opens_without_a_server(tmp_path):
    from endodav_jax.viewer.folders import open_folder
    from endodav_jax.viewer.page import Shown
    from endodav_jax.viewer.scene_file import write_scene

    recording = open_folder(write_depth_folder(tmp_path / "out"))
    assert write_scene(recording, tmp_path / "scene.html", Shown(), overwrite=False) == len(recording.numbers)
    html = (tmp_path / "scene.html").read_text()
    assert html.lstrip().lower().startswith("<!doctype html")
    assert not re.search(r'(?:src|href)="https?://', html)
