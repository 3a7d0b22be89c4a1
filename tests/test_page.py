"""The page in a real browser: Chromium without a window, with a fake camera that shows drawn people.

Without playwright or a Chromium these tests skip and say so. Screenshots go where MANYFACES_ARTEFACTS says.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import manyfaces as mf
from manyfaces.geometry import iou
from manyfaces.sinks.tables import columns
from showing import NAMES, PATIENCE, SIZE, TABS, Files, drawn_files, serving

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[test]'")
pytest.importorskip("fastapi", reason="the server is not installed: pip install '.[serve]'")

ROOT = Path(mf.__file__).parent / "server" / "page"
LANGUAGES = ("en", "vi", "zh")
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}
TOKEN = "a-long-and-random-token-for-enrolling"


# --- server and browser ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return drawn_files(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def server(files: Files) -> Iterator[str]:
    yield from serving(files.gallery)


@pytest.fixture(scope="module")
def browser(files: Files) -> Iterator[Any]:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    chromium = os.environ.get("MANYFACES_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if chromium is None:
        pytest.skip("no Chromium is installed, so the page cannot be looked at: apt-get install chromium")
    arguments = [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={files.camera}",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
    ]
    with playwright_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield running
        running.close()


@dataclass
class Visit:
    """One page of its own. `errors`: what the browser's console complained of."""

    page: Any
    errors: list[str] = field(default_factory=list)

    def open(self, address: str, tab: str = "live") -> Any:
        self.page.goto(f"{address}#{tab}" if tab else address)
        self.page.wait_for_selector("html[data-ready]")
        return self.page


class Browse:
    """Opens pages that are closed, and whose consoles are looked at, when the test is over."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser
        self.visits: list[Visit] = []

    def __call__(self, address: str, tab: str = "live", **options: Any) -> Any:
        context = self._browser.new_context(**{"viewport": DESKTOP, "locale": "en-US", **options})
        context.set_default_timeout(PATIENCE)
        visit = Visit(context.new_page())
        visit.page.on("console", lambda said: visit.errors.append(said.text) if said.type == "error" else None)
        visit.page.on("pageerror", lambda error: visit.errors.append(str(error)))
        self.visits.append(visit)
        return visit.open(address, tab)

    def close(self) -> None:
        for visit in self.visits:
            visit.page.context.close()


@pytest.fixture
def browse(browser: Any) -> Iterator[Browse]:
    opened = Browse(browser)
    yield opened
    opened.close()
    assert [error for visit in opened.visits for error in visit.errors] == []


def until(page: Any, condition: str) -> None:
    """Wait in the page until it is so. Playwright's own `wait_for_function` needs `eval`, which the page forbids."""
    page.evaluate(
        f"""() => new Promise((resolve, reject) => {{
            const end = performance.now() + {PATIENCE};
            const look = () => {{
                if ({condition}) resolve();
                else if (performance.now() > end) reject(new Error({json.dumps(condition)} + ' has not come'));
                else setTimeout(look, 50);
            }};
            look();
        }})"""
    )


def keep(page: Any, name: str) -> None:
    """A screenshot for people to look at, where they said that they want some."""
    if folder := os.environ.get("MANYFACES_ARTEFACTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(folder) / f"page-{name}.png"))


def start_camera(page: Any) -> None:
    page.click("#live [data-part=start]")
    until(page, "document.querySelectorAll('#live [data-part=list] li').length >= 5")


def add_pictures(page: Any, *paths: Path) -> None:
    page.set_input_files("#pictures input[type=file]", [str(path) for path in paths])
    wanted = f"document.querySelectorAll('.thumb[data-state=done], .thumb[data-state=failed]').length === {len(paths)}"
    until(page, wanted)


# --- the tabs --------------------------------------------------------------------------------------------------------


SEEN = """() => new Promise((resolve) => {
    const overlay = document.querySelector('#live [data-part=overlay]');
    overlay.addEventListener('drawn', ({ detail }) => {
        const video = document.querySelector('#live video');
        const canvas = document.createElement('canvas');
        [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
        canvas.getContext('2d').drawImage(video, 0, 0);
        resolve({ ...detail, picture: canvas.toDataURL('image/png') });
    }, { once: true });
})"""


def test_the_camera_s_faces_are_named_and_their_boxes_lie_on_them(server: str, browse: Browse, tmp_path: Path) -> None:
    page = browse(server)
    start_camera(page)
    until(page, f"{list(NAMES[:2])}.every((name) => document.querySelector('.faces').innerText.includes(name))")
    seen = page.evaluate(SEEN)
    keep(page, "live")
    (tmp_path / "seen.png").write_bytes(base64.b64decode(seen["picture"].partition(",")[2]))
    (engine,) = mf.analyze(tmp_path / "seen.png", mf.Options(identity=False))
    drawn = np.array([face["box"] for face in seen["faces"]], np.float32) * (engine.width / seen["width"])
    truth = np.array([face.box for face in engine.faces], np.float32)
    assert len(truth) >= 5
    assert (iou(truth, drawn).max(axis=1) > 0.5).sum() >= len(truth) - 1
    assert page.inner_text("#running") == "Analysis running: camera"
    page.click("#live [data-part=stop]")
    page.wait_for_selector("#running", state="hidden")
    assert page.evaluate("document.querySelector('#live video').srcObject") is None


def test_names_can_be_hidden_the_picture_mirrored_and_the_analysis_paused(server: str, browse: Browse) -> None:
    page = browse(server)
    start_camera(page)
    until(page, "document.querySelector('.faces').innerText.includes('Lan')")
    page.check("#live [data-part=hide-names]")
    until(page, "!document.querySelector('.faces').innerText.includes('Lan')")
    assert "Lan" not in page.get_attribute("#live [data-part=overlay]", "aria-label")
    page.check("#live [data-part=mirror]")
    assert (
        page.evaluate("getComputedStyle(document.querySelector('#live video')).transform")
        == "matrix(-1, 0, 0, 1, 0, 0)"
    )
    page.click("#live [data-part=pause]")
    assert page.evaluate("document.querySelector('#live video').paused")
    assert page.inner_text("#live [data-part=sign-words]") == "Paused"
    assert page.locator("#running").is_hidden()


def test_a_lost_connection_comes_back(server: str, browse: Browse) -> None:
    opened: list[Any] = []

    def through(socket: Any) -> None:
        opened.append(socket)
        upstream = socket.connect_to_server()
        if len(opened) == 1:
            upstream.on_message(lambda _message: socket.close(code=1001))

    page = browse(server)
    page.route_web_socket("**/v1/live", through)
    page.click("#live [data-part=start]")
    until(page, "document.querySelectorAll('#live [data-part=list] li').length >= 5")
    assert len(opened) == 2


def test_pictures_come_back_with_a_table_and_files_to_keep(server: str, browse: Browse, files: Files) -> None:
    page = browse(server, "pictures")
    add_pictures(page, files.crowd, files.portrait("Lan"), files.folder / "broken.jpg")
    assert page.inner_text("#pictures [data-part=summary]") == "3 pictures · 7 faces · 1 could not be read"
    page.click(".thumb >> nth=0")
    until(page, "document.querySelectorAll('#pictures tbody tr').length === 6")
    assert all(name in page.inner_text("#pictures tbody") for name in NAMES)
    keep(page, "pictures")
    (engine,) = mf.analyze(files.crowd, mf.Options(gallery=files.gallery))
    row = json.loads(saved(page, "json"))
    ours, theirs = sorted(face["box"] for face in row["faces"]), sorted(face.box for face in engine.faces)
    np.testing.assert_allclose(ours, theirs, atol=0.2)
    heading, *lines = saved(page, "csv").decode().splitlines()
    assert tuple(heading.split(",")) == columns(list(row["faces"][0]["emotions"]))
    assert len(lines) == 6
    annotated = cv2.imdecode(np.frombuffer(saved(page, "png"), np.uint8), cv2.IMREAD_COLOR)
    assert annotated is not None
    assert annotated.shape == (SIZE[1], SIZE[0], 3)
    assert len(saved(page, "all-json").splitlines()) == 3
    page.click(".thumb >> nth=2")
    assert "could not be read" in page.inner_text("#pictures [data-part=fault]")
    page.click("#pictures [data-part=clear]")
    assert page.locator(".thumb").count() == 0


def saved(page: Any, part: str) -> bytes:
    with page.expect_download() as begun:
        page.click(f"#pictures [data-part={part}]")
    return Path(begun.value.path()).read_bytes()


def test_a_face_that_was_taken_for_another_is_corrected(server: str, browse: Browse, files: Files) -> None:
    page = browse(server, "pictures")
    add_pictures(page, files.crowd)
    page.click("#pictures tbody tr:has-text('unknown') button")
    page.fill("dialog input[type=text]", "Zoë Nguyễn")
    page.click("dialog button.primary")
    assert page.locator("dialog").is_visible()  # nobody is enrolled without consent
    page.check("dialog input[type=checkbox]")
    page.click("dialog button.primary")
    page.wait_for_selector("#pictures tbody tr:has-text('Zoë Nguyễn')")
    page.click("#pictures tbody tr:has-text('Lan') button")
    page.click("dialog button:has-text('Mark as unknown')")
    until(page, "!document.querySelector('#pictures tbody').innerText.includes('Lan')")
    assert "Zoë Nguyễn" in [person.name for person in mf.Gallery(files.gallery).people()]
    mf.Gallery(files.gallery).remove("Zoë Nguyễn")


def test_a_video_s_people_get_a_timeline_and_moments_to_jump_to(server: str, browse: Browse, files: Files) -> None:
    page = browse(server, "video")
    page.set_input_files("#video input[type=file]", str(files.film))
    page.wait_for_selector("#video [data-part=progress]", state="visible")
    page.wait_for_selector("#video [data-part=progress]", state="hidden")
    assert [name for name in page.locator(".timeline-name").all_inner_texts() if name in NAMES] != []
    assert page.locator(".timeline-row svg rect").count() >= 5
    appears = page.locator(".moment:has-text('appears')").all_inner_texts()
    assert len(appears) >= 5
    last = page.locator(".moment").last
    minutes, seconds = last.locator(".time").inner_text().split(":")
    last.click()
    until(page, "!document.querySelector('#video video').seeking")
    assert page.evaluate("document.querySelector('#video video').currentTime") == pytest.approx(
        60 * int(minutes) + float(seconds), abs=0.06
    )
    keep(page, "video")
    until(
        page,
        """(() => {
            const { width, height } = document.querySelector('#video canvas');
        const context = document.querySelector('#video canvas').getContext('2d');
        return context.getImageData(0, 0, width, height).data.some((value) => value > 0);
    })()""",
    )


def test_what_is_no_video_is_said_in_words(server: str, browse: Browse, files: Files) -> None:
    page = browse(server, "video")
    page.set_input_files("#video input[type=file]", str(files.folder / "broken.jpg"))
    page.wait_for_selector("#video [data-part=fault]", state="visible")
    assert "video" in page.inner_text("#video [data-part=fault]")
    browse.visits[-1].errors.clear()  # the browser itself notes an answer of 422


def test_people_are_added_with_consent_renamed_and_removed(server: str, browse: Browse, files: Files) -> None:
    page = browse(server, "people")
    until(page, f"document.querySelectorAll('.people li').length === {len(NAMES)}")
    page.fill("#people [data-part=name]", "Zoë")
    page.set_input_files("#people form input[type=file]", str(files.portrait("Zoë")))
    page.wait_for_selector(".tray li[data-verdict=good]")
    page.click("#people [data-part=submit]")
    assert "consent" in page.inner_text("#people [data-part=said]")
    page.check("#people [data-part=consent]")
    keep(page, "people")
    page.click("#people [data-part=submit]")
    page.wait_for_selector(".people li:has-text('Zoë')")
    page.click("[aria-label='Rename Zoë']")
    page.fill("dialog input", "Zoë / Đặng")
    page.keyboard.press("Enter")
    page.click("[aria-label='Remove Zoë / Đặng']")
    page.click("dialog button:has-text('Cancel')")
    assert page.locator(".people li:has-text('Đặng')").count() == 1
    page.click("[aria-label='Remove Zoë / Đặng']")
    page.click("dialog button.danger")
    page.wait_for_selector(".people li:has-text('Đặng')", state="detached")
    page.click("#people [data-part=calibrate]")
    until(page, "/similarity of 0\\.\\d+/.test(document.querySelector('[data-part=calibrated]').innerText)")


def test_the_webcam_gives_advice_while_a_photo_is_taken(server: str, browse: Browse) -> None:
    page = browse(server, "people")
    page.click("#people [data-part=webcam]")
    until(page, "document.querySelector('.advice').innerText.includes('only one person')")
    page.click("#people [data-part=snap]")
    page.wait_for_selector(".tray li[data-verdict=poor]")
    page.click("#tab-system")
    assert page.evaluate("document.querySelector('#people video').srcObject") is None


def test_the_system_is_shown_with_its_models_terms_and_figures(server: str, browse: Browse) -> None:
    page = browse(server, "system")
    page.wait_for_selector("#system tbody tr")
    assert "Apache-2.0" in page.inner_text("#system tbody")
    until(page, "[...document.querySelectorAll('.tile b')].some((figure) => figure.innerText !== '–')")
    keep(page, "system")
    assert page.locator(".tile svg").count() == 8


def test_a_token_is_asked_for_until_it_is_right(files: Files, browse: Browse, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"enrol:{TOKEN}\n", encoding="utf-8")
    serves = serving(files.gallery, "--token-file", str(tmp_path / "tokens"))
    page = browse(next(serves))
    page.click("#live [data-part=start]")
    for given in ("wrong-wrong-wrong-wrong", TOKEN):
        page.fill("dialog input[type=password]", given)
        page.keyboard.press("Enter")
        page.wait_for_selector("dialog", state="detached") if given == TOKEN else None
    until(page, "document.querySelectorAll('#live [data-part=list] li').length >= 5")
    assert page.evaluate("Object.values(localStorage)").count(TOKEN) == 0
    page.close()
    serves.close()
    browse.visits[-1].errors.clear()  # the browser itself notes each answer of 401


# --- for everybody ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_tab_speaks_the_language_of_the_browser(server: str, browse: Browse, language: str) -> None:
    page = browse(server, locale=language)
    assert page.get_attribute("html", "lang")[:2] == language
    words = json.loads((ROOT / "words" / f"{language}.json").read_text(encoding="utf-8"))
    for tab in TABS:
        page.click(f"#tab-{tab}")
        assert page.inner_text(f"#tab-{tab}") == words[f"tabs.{tab}"]
        assert page.locator(f"#{tab}").is_visible()
        text = page.inner_text("body")
        untranslated = [key for key in words if "." in key and key in text]
        assert untranslated == []
        keep(page, f"{tab}-{language}")


def test_the_language_can_be_changed_and_is_kept(server: str, browse: Browse) -> None:
    page = browse(server, "people")
    page.select_option("#language", "vi")
    page.wait_for_selector("h2:has-text('Những người đã biết')")
    page.reload()
    page.wait_for_selector("html[lang=vi][data-ready]")
    page.select_option("#theme", "dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"


def test_the_keyboard_alone_is_enough(server: str, browse: Browse) -> None:
    page = browse(server, tab="")
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    for _ in range(3):
        page.keyboard.press("Tab")
    assert focused(page) == "Live"
    for tab in (*TABS[1:], TABS[0]):
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.id") == f"tab-{tab}"
        assert page.locator(f"#{tab}").is_visible()
    page.keyboard.press("End")
    assert page.evaluate("location.hash") == "#system"
    page.evaluate("document.querySelector('.skip').click()")
    assert page.locator("#system").is_visible()  # it leads to the content, not to another tab
    page.focus("#tab-system")
    page.keyboard.press("Home")
    for _ in range(2):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    until(page, "document.activeElement.dataset.part === 'stop'")
    page.keyboard.press("Enter")
    until(page, "document.activeElement.dataset.part === 'start'")


def focused(page: Any) -> str:
    return str(page.evaluate("document.activeElement.innerText"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_sticks_out_on_a_phone(server: str, browse: Browse, language: str) -> None:
    page = browse(server, viewport=PHONE, locale=language, color_scheme="dark")
    for tab in TABS:
        page.click(f"#tab-{tab}")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        keep(page, f"phone-{tab}-{language}")


def test_who_asked_for_less_movement_gets_less(server: str, browse: Browse) -> None:
    page = browse(server, reduced_motion="reduce")
    assert page.evaluate("getComputedStyle(document.querySelector('.pulse')).animationName") == "none"


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core, which finds faults of accessibility: from npm, or from the file in MANYFACES_AXE."""
    if named := os.environ.get("MANYFACES_AXE"):
        return Path(named).read_text(encoding="utf-8")
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed, so axe-core cannot be fetched; MANYFACES_AXE may name an axe.min.js")
    folder = tmp_path_factory.mktemp("axe")
    command = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "axe-core@4"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("axe-core could not be fetched through npm; MANYFACES_AXE may name an axe.min.js")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(server: str, browse: Browse, files: Files, axe: str, scheme: str) -> None:
    page = browse(server, color_scheme=scheme)
    page.evaluate(axe)
    start_camera(page)
    assert faults(page, "live") == []
    page.click("#live [data-part=stop]")
    page.click("#tab-pictures")
    add_pictures(page, files.crowd, files.folder / "broken.jpg")
    assert faults(page, "pictures") == []
    page.click("#pictures tbody button >> nth=0")
    page.wait_for_selector("dialog")
    assert faults(page, "dialog") == []
    page.keyboard.press("Escape")
    page.click("#tab-video")
    page.set_input_files("#video input[type=file]", str(files.film))
    page.wait_for_selector(".moment")
    assert faults(page, "video") == []
    page.click("#tab-people")
    page.set_input_files("#people form input[type=file]", [str(files.portrait("Zoë")), str(files.crowd)])
    page.wait_for_selector(".tray li[data-verdict=poor]")
    page.wait_for_selector(".tray li[data-verdict=good]")
    assert faults(page, "people") == []
    page.click("#tab-system")
    page.wait_for_selector("#system tbody tr")
    assert faults(page, "system") == []


def faults(page: Any, what: str) -> list[str]:
    found = page.evaluate("axe.run()")["violations"]
    keep(page, f"axe-{what}")
    return [
        f"{what}: {fault['id']}: {node['html']}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


# --- words and small parts -------------------------------------------------------------------------------------------


def _words(language: str) -> dict[str, Any]:
    words: dict[str, Any] = json.loads((ROOT / "words" / f"{language}.json").read_text(encoding="utf-8"))
    return words


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_every_language_says_the_same_things(language: str) -> None:
    english, other = _words("en"), _words(language)
    assert list(other) == list(english)
    for key, text in english.items():
        assert _fillings(other[key]) == _fillings(text), key


def _fillings(entry: str | dict[str, str]) -> set[str]:
    text = entry if isinstance(entry, str) else entry["other"]
    return set(re.findall(r"\{\w+\}", text))


def test_every_word_of_the_page_is_known() -> None:
    used: set[str] = set()
    for path in [*ROOT.rglob("*.js"), ROOT / "index.html"]:
        text = path.read_text(encoding="utf-8")
        used |= set(re.findall(r'data-(?:words|label)="([^"]+)"', text))
        used |= set(re.findall(r'\b(?:word|answer)\("([\w.]+)"', text))
    assert used
    assert used - set(_words("en")) == set()


def test_the_page_needs_nothing_from_elsewhere() -> None:
    for path in ROOT.rglob("*.*"):
        outside = set(re.findall(r"https?://[^\s\"')]+", path.read_text(encoding="utf-8")))
        assert {link for link in outside if "w3.org" not in link and "jfly" not in link} == set(), path
    html = (ROOT / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"\sstyle=|\son\w+=|<script>", html)  # the content policy would stop them


def test_boxes_are_carried_on_by_their_speed_but_not_for_long(server: str, browse: Browse) -> None:
    page = browse(server)
    shown = page.evaluate("""async () => {
        const { Motion } = await import('/page/faces/motion.js');
        const motion = new Motion();
        for (let step = 0; step <= 20; step += 1) {
            motion.see([{ track: 1, box: [step * 10, 0, step * 10 + 50, 50] }], step * 100, step * 100 + 80);
            for (let now = 0; now < 100; now += 16) motion.at(step * 100 + 80 + now);
        }
        const soon = motion.at(2200)[0].box[0];
        for (let now = 2200; now < 9000; now += 16) motion.at(now);
        const late = motion.at(9000)[0].box[0];
        motion.see([], 9000, 9080);
        return [soon, late, motion.at(9100).length, motion.at(9500).length];
    }""")
    soon, late, fading, gone = shown
    assert soon == pytest.approx(215, abs=8)  # where the face is at that time, though it was last seen at 200
    assert late == pytest.approx(225, abs=1)
    assert (fading, gone) == (1, 0)


def test_a_story_joins_the_tracks_of_one_name_and_leaves_false_alarms_out(server: str, browse: Browse) -> None:
    page = browse(server)
    people, kinds = page.evaluate("""async () => {
        const { Story } = await import('/page/faces/story.js');
        const { momentsOf } = await import('/page/faces/moments.js');
        const story = new Story();
        const face = (track, identity, emotion) => ({ track, identity, emotion, emotion_confidence: 0.9 });
        for (let at = 0; at < 40; at += 1) {
            const faces = [face(at < 15 ? 1 : 2, 'Lan', at < 10 ? 'neutral' : 'happy')];
            if (at === 5) faces.push(face(9, null, 'sad'));
            if (at >= 20) faces.push(face(3, null, 'neutral'));
            story.see({ seconds: at / 10, faces });
        }
        const people = story.people();
        const moments = momentsOf(people).map(({ kind, seconds }) => [kind, seconds]);
        return [people.map(({ name, number }) => name ?? number), moments];
    }""")
    assert people == ["Lan", 3]
    assert kinds == [["first", 0], ["strongest", 1], ["change", 1], ["first", 2]]


def test_csv_is_quoted_where_it_must_be_and_metrics_are_read(server: str, browse: Browse) -> None:
    page = browse(server)
    csv, figure = page.evaluate("""async () => {
        const { asCsv } = await import('/page/faces/table.js');
        const { parseMetrics, total } = await import('/page/service/prometheus.js');
        const text = '# HELP a\\na_total{q="x, \\\\"y\\\\"",s="1"} 2.5\\na_total{q="z",s="2"} 1e1\\nb 3\\n';
        const samples = parseMetrics(text);
        const place = { stream: 'a,"b".png', index: 0, seconds: 0, width: 0, height: 0 };
        const figures = [total(samples, 'a_total'), total(samples, 'a_total', { s: '2' }), total(samples, 'c')];
        return [asCsv([{ ...place, faces: [], error: 'no\\npicture' }]), figures];
    }""")
    assert csv.splitlines()[1].startswith('"a,""b"".png",0,0,0,0,,')
    assert csv.endswith(',"no\npicture"\n')
    assert figure == [12.5, 10, None]
