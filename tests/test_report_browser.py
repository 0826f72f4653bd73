"""The report in a real browser."""

import pytest

from shared.browser import find_browser, open_browser
from shared.report_results import SPLITS, change, write_report

# In a browser


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    if find_browser() is None:
        pytest.skip("there is no Chromium on this machine, in which the report could be opened")
    with open_browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.mark.parametrize(("width", "mobile"), [(1440, False), (390, True)])
def test_report_opens_without_complaint_or_request(page, report, width, mobile):
    address = (report / "report.html").as_uri()
    page.open(address, width, 900, mobile)
    assert page.complaints == []
    assert [request for request in page.requests if not request.startswith("data:")] == [address]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    assert page.evaluate("document.images.length") == 9


def test_viewer_draws_turns_and_changes_student(page, report):
    page.open((report / "report.html").as_uri(), 1440, 900)
    drawing = "document.querySelector('canvas').toDataURL()"
    first = page.evaluate(drawing)
    assert page.evaluate("document.querySelector('.caption').textContent").startswith("C2H6O (CH3CH2OH 0), 9 atoms")
    page.evaluate("document.querySelector('canvas').dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowLeft'}))")
    turned = page.evaluate(drawing)
    page.evaluate("document.querySelectorAll('.viewer button')[1].click()")
    assert len({first, turned, page.evaluate(drawing)}) == 3
    choose = (
        "const s = document.getElementById('variant'); s.value = 'ultra_tiny'; s.dispatchEvent(new Event('change'))"
    )
    page.evaluate(f"(() => {{ {choose} }})()")
    assert page.evaluate("document.querySelector('.viewer button span:last-child').textContent") == "1.45 eV/Å"
    assert page.complaints == []


def test_viewer_offers_the_splits_of_the_student(page, copy, benchmarks, tmp_path):
    change(
        copy, "accuracy", lambda content: content.update(splits=dict([*content["splits"].items()][:1])), ["original"]
    )
    write_report(tmp_path / "report", copy, benchmarks)
    page.open((tmp_path / "report/report.html").as_uri(), 1440, 900)
    offered = "[...document.getElementById('split').options].filter((one) => !one.disabled).map((one) => one.value)"

    def choose(select, value):
        choice = (
            f"const s = document.getElementById('{select}'); s.value = '{value}'; s.dispatchEvent(new Event('change'))"
        )
        page.evaluate(f"(() => {{ {choice} }})()")

    assert page.evaluate(offered) == [SPLITS[0]]
    choose("variant", "tiny")
    assert page.evaluate(offered) == list(SPLITS)
    choose("split", SPLITS[1])
    choose("variant", "original")
    assert page.evaluate("document.getElementById('split').value") == SPLITS[0]
    assert page.evaluate("document.querySelectorAll('.viewer li').length") == 4
    assert page.complaints == []


@pytest.mark.parametrize("width", [1280, 1440, 1920])
def test_targets_are_on_the_first_screen(page, report, width):
    page.open((report / "report.html").as_uri(), width, 900)
    assert page.evaluate("document.querySelector('table.targets').getBoundingClientRect().bottom") < 900


@pytest.mark.parametrize("width", [1280, 1440, 1920])
def test_no_table_is_cut_off_beside_a_desk(page, report, width):
    page.open((report / "report.html").as_uri(), width, 900)
    cut_off = "[...document.querySelectorAll('.scroll')].filter((box) => box.scrollWidth > box.clientWidth)"
    assert page.evaluate(f"{cut_off}.map((box) => box.textContent.trim().slice(0, 80))") == []


def test_report_prints(page, report):
    page.open((report / "report.html").as_uri(), 1440, 900)
    assert page.pdf().startswith(b"%PDF")
