"""The page in Firefox: every tab is walked and does its work, and the console complains of nothing."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

pytest.importorskip("fastapi", reason="the server is not installed: pip install '.[serve]'")

from firefox import Firefox, firefox
from showing import NAMES, TABS, Files, drawn_files, serving

CAMERA = """() => {
    if (!navigator.mediaDevices) return;
    navigator.mediaDevices.getUserMedia = async () => {
        const picture = new Image();
        picture.src = 'data:image/jpeg;base64,%s';
        await picture.decode();
        const canvas = document.createElement('canvas');
        [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
        const brush = canvas.getContext('2d');
        const draw = () => { brush.drawImage(picture, 0, 0); setTimeout(draw, 100); };
        draw();
        return canvas.captureStream(10);
    };
}"""
"""Firefox's own fake camera shows no faces. What comes out of this is a camera's stream to the page."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return drawn_files(tmp_path_factory.mktemp("firefox"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, files: Files) -> Iterator[Firefox]:
    with firefox(tmp_path_factory.mktemp("browser") / "profile") as running:
        first = files.camera.read_bytes().partition(b"\xff\xd9")[0] + b"\xff\xd9"
        running.before_each_page(CAMERA % base64.b64encode(first).decode())
        yield running


@pytest.fixture(scope="module")
def server(files: Files) -> Iterator[str]:
    yield from serving(files.gallery)


@pytest.fixture
def page(browser: Firefox, server: str) -> Iterator[Firefox]:
    browser.open("about:blank")
    begun = browser.run("Date.now()")
    browser.open(server)
    browser.until("document.documentElement.dataset.ready !== undefined")
    yield browser
    assert browser.complaints(begun) == []


def go_to(page: Firefox, tab: str) -> None:
    page.click(f"#tab-{tab}")
    page.until(f"!document.querySelector('#{tab}').hidden")


def test_the_camera_s_faces_are_named(page: Firefox) -> None:
    page.click("#live [data-part=start]")
    page.until(f"{list(NAMES[:2])}.every((name) => document.querySelector('.faces').innerText.includes(name))")
    page.until("document.querySelector('#live [data-part=latency]').textContent.includes('ms')")
    page.keep("live")
    page.click("#live [data-part=stop]")
    page.until("document.querySelector('#running').hidden")


def test_pictures_come_back_with_a_table(page: Firefox, files: Files) -> None:
    go_to(page, "pictures")
    page.give_files("#pictures input[type=file]", files.crowd, files.folder / "broken.jpg")
    page.until("document.querySelectorAll('.thumb[data-state=done], .thumb[data-state=failed]').length === 2")
    page.click(".thumb")
    page.until("document.querySelectorAll('#pictures tbody tr').length === 6")
    words = page.run("document.querySelector('#pictures tbody').innerText")
    assert all(name in words for name in NAMES)
    page.keep("pictures")


def test_a_video_s_people_get_a_timeline(page: Firefox, files: Files) -> None:
    go_to(page, "video")
    page.give_files("#video input[type=file]", files.film)
    page.until("document.querySelectorAll('.moment').length > 0")
    page.until("document.querySelector('#video [data-part=progress]').hidden")
    page.until("document.querySelectorAll('.timeline-name').length > 0")
    assert page.run("document.querySelector('#video video').duration") == pytest.approx(4, abs=0.5)
    page.keep("video")


def test_everybody_is_listed(page: Firefox) -> None:
    go_to(page, "people")
    page.until(f"document.querySelectorAll('.people li').length === {len(NAMES)}")
    page.keep("people")
    assert all(name in page.run("document.querySelector('.people').innerText") for name in NAMES)


def test_every_tab_opens_and_the_system_is_shown(page: Firefox) -> None:
    for tab in TABS:
        go_to(page, tab)
    page.until("document.querySelectorAll('#system tbody tr').length > 0")
    page.keep("system")
