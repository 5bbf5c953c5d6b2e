"""A report is one file that needs nothing else, and shows what it was given."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from endodav_jax.report import Section, bars, definitions, images, lines, table, text, write_report
from endodav_jax.report.pictures import depth_picture, error_picture, small, small_map

ALONE = ("area", "base", "br", "col", "hr", "img", "input", "link", "meta")


class Balanced(HTMLParser):
    """Fails where a tag is closed that is not open; notes every address."""

    def __init__(self):
        super().__init__()
        self.open, self.addresses = [], []

    def handle_starttag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href", "xlink:href", "action")]
        if tag not in ALONE:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parsed(page: str) -> Balanced:
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    return parser


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (20, 30, 3), np.uint8)


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    sections = [
        Section("Words & numbers", [
            text("a < b", "second"), table(("", "x"), [["row", "1.5"], ["mean", "2"]], strong=[1]),
        ]),
        Section("Charts", [
            bars(["one", "two"], {"before": [1, 2], "after": [0.5, float("nan")]}, "Errors",
                 {"before": [(0.5, 1.5), (1, 3)]}),
            lines({"loss": ([0, 1, 2], [3.0, float("nan"), 1.0])}, "Loss", "step", "loss"),
            lines({"path": ([0, 0], [0, 0])}, "At rest", "x", "z", equal=True),
        ]),
        Section("Pictures", [images([[picture(0), picture(1)]], ["left", "right"], ["frame 3"])]),
        Section("Settings", [definitions({"train.steps": 20}, "Configuration")]),
    ]  # fmt: skip
    write_report(path, "A <report>", sections)
    return path.read_text()


def test_a_report_names_no_address_outside_of_itself(page):
    for address in parsed(page).addresses:
        assert address.startswith(("#", "data:image/png;base64,"))
    assert "http" not in page
    assert "url(" not in page
    assert "@import" not in page
    assert "<script" not in page


def test_words_are_shown_as_they_are(page):
    assert "<title>A &lt;report&gt;</title>" in page
    assert "Words &amp; numbers" in page
    assert "<p>a &lt; b</p>" in page
    assert '<tr class="strong"><th scope="row">mean</th><td>2</td></tr>' in page
    assert "<dt>train.steps</dt><dd>20</dd>" in page


def test_a_report_is_readable_in_dark_and_light(page):
    assert "prefers-color-scheme: dark" in page


def test_pictures_come_back_bit_for_bit():
    for shown in (
        picture(0),
        np.repeat(np.arange(20, dtype=np.uint8)[:, None, None], 3, -1) * np.ones((1, 30, 1), np.uint8),
    ):
        code = re.search(r"base64,([^\"]+)", images([[shown]], ["it"]))[1]
        stored = Image.open(io.BytesIO(base64.b64decode(code))).convert("RGB")
        np.testing.assert_array_equal(np.asarray(stored), shown)


def test_bars_are_as_long_as_their_values():
    chart = bars(["a", "b", "c"], {"x": [1.0, 4.0, 0.0]}, "t")
    widths = [float(width) for width in re.findall(r'<rect [^>]*width="([\d.]+)"', chart)]
    assert widths[1] / widths[0] == pytest.approx(4, rel=0.01)
    assert widths[2] < 1


def test_a_value_that_is_not_known_has_no_bar():
    chart = bars(["a"], {"x": [float("nan")]}, "t")
    assert "<rect" not in chart
    assert ">-</text>" in chart


def test_a_map_has_one_scale_for_both_axes():
    chart = lines({"path": ([0, 10], [0, 1])}, "t", "x", "z", equal=True)
    points = re.search(r'polyline points="([^"]+)"', chart)[1]
    (x0, y0), (x1, y1) = (tuple(map(float, pair.split(","))) for pair in points.split())
    assert (x1 - x0) / (y0 - y1) == pytest.approx(10, rel=0.02)


def test_rows_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="other than 2 cells"):
        table(("a", "b"), [["1"]])
    with pytest.raises(ValueError, match="other than 2 pictures"):
        images([[picture(0)]], ["a", "b"])


def test_near_is_bright_and_nothing_is_black():
    shown = depth_picture(np.array([[0.0, 20.0, 80.0]], np.float32), 20, 100).astype(int).sum(-1)[0]
    assert shown[0] == 0
    assert shown[1] > shown[2] > 0


def test_an_error_is_bright_and_what_has_no_truth_is_grey():
    truth = np.array([[10.0, 10.0, 0.0]], np.float32)
    shown = error_picture(np.array([[10.0, 14.0, 5.0]], np.float32), truth, truth > 0, 0.3).astype(int)
    assert shown[0, 1].sum() > shown[0, 0].sum()
    assert shown[0, 2].tolist() == [128, 128, 128]


def test_pictures_are_reduced_and_maps_keep_their_values():
    assert small(np.zeros((300, 400, 3), np.uint8), 100).shape == (75, 100, 3)
    for shape in ((300, 400), (192, 258), (75, 100), (40, 30)):
        values = np.random.default_rng(0).random(shape)
        reduced = small_map(values, 100)
        assert reduced.shape == small(np.zeros((*shape, 3), np.uint8), 100).shape[:2]
        assert np.isin(reduced, values).all()
