"""The playground in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from falrt.local import LocalServer
from falrt.server.playground import create_playground
from tests.browser.threads import free_port, serving_in_thread

OpenPage = Callable[..., Any]

MEAN_COLOUR = """() => {
  const small = new OffscreenCanvas(1, 1).getContext("2d");
  small.drawImage(document.getElementById("picture"), 0, 0, 1, 1);
  return [...small.getImageData(0, 0, 1, 1).data].slice(0, 3);
}"""


def figure(page: Any, name: str) -> float:
    text = page.text_content(f"#{name}")
    return float("nan") if text == "–" else float(text)


def wait_for_figure(page: Any, name: str, above: float) -> None:
    page.wait_for_function(
        "([name, above]) => Number(document.getElementById(name).textContent) > above", arg=[name, above]
    )


def test_the_camera_goes_through_klein(playground: str, open_page: OpenPage) -> None:
    page = open_page(playground)
    page.wait_for_selector("main.has")
    page.keyboard.press("2")
    page.wait_for_selector("body[data-source=camera] main.has")
    wait_for_figure(page, "fps", 1)
    wait_for_figure(page, "p50", 0)
    assert figure(page, "p95") >= figure(page, "p50")
    assert page.text_content("#state") == "live"
    assert page.text_content("#cost") == "free"
    size = page.evaluate("[picture.width, picture.height]")
    assert size == [768, 768]
    page.keyboard.press("1")  # the camera's light goes out
    page.wait_for_selector("body[data-source=scene]")
    assert page.evaluate("monitor.srcObject") is None


def test_a_drawing_is_sent_when_the_hand_rests_and_its_last_stroke_always(
    playground: str, open_page: OpenPage
) -> None:
    page = open_page(playground)
    page.wait_for_selector("main.has")
    page.keyboard.press("3")
    page.wait_for_selector("#before.drawing")
    page.evaluate("""() => {
      window.sent = 0;
      const send = WebSocket.prototype.send;
      WebSocket.prototype.send = function (data) { window.sent++; return send.call(this, data); };
    }""")
    box = page.locator("#source").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    # All at once, so that the machine's load does not matter.
    page.evaluate(
        """([x, y]) => {
      for (let step = 0; step < 200; step++) {
        const at = { clientX: x + 20 + step, clientY: y + 20 + step * 0.7, pointerId: 1, bubbles: true };
        source.dispatchEvent(new PointerEvent("pointermove", at));
      }
    }""",
        [box["x"], box["y"]],
    )
    page.mouse.up()
    page.wait_for_function("() => window.sent > 0")
    page.wait_for_timeout(600)  # nothing more comes: the hand rests
    sent = page.evaluate("window.sent")
    assert 1 <= sent <= 8
    # The last stroke is in the picture that was made last: the source under it has its colour.
    marked = page.evaluate(
        "() => { const g = source.getContext('2d'), s = source.width / source.clientWidth;"
        " return [...g.getImageData((20 + 199) * s, (20 + 139) * s, 1, 1).data].slice(0, 3); }"
    )
    assert marked != [255, 255, 255]
    page.keyboard.press("Control+z")
    page.wait_for_function(f"() => window.sent > {sent}")
    assert page.evaluate(
        "() => { const d = source.getContext('2d').getImageData(0, 0, source.width, source.height).data;"
        " return d.every((value) => value === 255); }"
    )


def test_a_prompt_that_is_typed_changes_the_picture(playground: str, open_page: OpenPage) -> None:
    page = open_page(playground)
    page.wait_for_selector("main.has")
    page.keyboard.press("5")
    page.wait_for_selector("body[data-source=words] main.has")
    colours = []
    for prompt in ("deep blue sea at night, photo", "a red sunset, photo"):
        page.keyboard.press("/")
        page.fill("#prompt", "")
        before = page.evaluate(MEAN_COLOUR)
        page.type("#prompt", prompt)
        page.keyboard.press("Enter")
        page.wait_for_function(f"(before) => String(({MEAN_COLOUR})()) !== String(before)", arg=before)
        page.wait_for_timeout(800)
        colours.append(page.evaluate(MEAN_COLOUR))
    assert colours[0] != colours[1]


def test_a_lost_server_is_told_in_words_and_its_return_needs_nobody(
    stand_in: LocalServer, open_page: OpenPage
) -> None:
    port = free_port()

    def served() -> Any:
        return serving_in_thread(create_playground(key="local", base_url=stand_in.url, offline=True), port)

    with served() as url:
        page = open_page(url)
        page.wait_for_selector("#state[data-state=open]")
        wait_for_figure(page, "fps", 0.5)
    page.wait_for_selector("#state[data-state=lost], #state[data-state=connecting]")
    page.wait_for_selector(".toast.bad")
    assert "server has gone" in page.text_content(".toast.bad")
    with served():
        page.wait_for_selector("#state[data-state=open]")
        wait_for_figure(page, "fps", 0.5)


def test_two_viewers_see_what_the_playground_shows(playground: str, open_page: OpenPage) -> None:
    viewers = [open_page(f"{playground}/screen") for _ in range(2)]
    page = open_page(playground)
    page.wait_for_selector("main.has")
    for viewer in viewers:
        viewer.wait_for_selector("body.has.live")
        assert viewer.evaluate("picture.width") == 768
    page.context.close()
    late = open_page(f"{playground}/screen")
    late.wait_for_timeout(300)
    assert "live" not in (late.get_attribute("body", "class") or "")


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_it_fits_a_phone(playground: str, open_page: OpenPage, scheme: str, tmp_path: Path) -> None:
    page = open_page(
        playground,
        viewport={"width": 390, "height": 844},
        has_touch=True,
        is_mobile=True,
        color_scheme=scheme,
    )
    page.wait_for_selector("main.has")
    assert page.get_attribute("html", "data-theme") == scheme
    for name in ("#prompt", "#sources", "#views", "#model", "#tune", "#figures", "#after"):
        box = page.locator(name).bounding_box()
        assert box["x"] >= 0, name
        assert box["x"] + box["width"] <= 390, name
        assert box["y"] + box["height"] <= 844, name
    page.screenshot(path=tmp_path / "phone.png")
    corner = Image.open(tmp_path / "phone.png").convert("L").getpixel((2, 400))
    assert (corner > 128) == (scheme == "light")


def test_options_come_from_the_schema_and_reach_the_model(playground: str, open_page: OpenPage) -> None:
    page = open_page(playground)
    page.wait_for_selector("main.has")
    page.keyboard.press("o")
    steps = page.locator("input[name=num_inference_steps]")
    assert (steps.get_attribute("min"), steps.get_attribute("max")) == ("1", "8")
    page.select_option("select[name=image_size]", "square_hd")
    page.wait_for_function("() => picture.width === 1024")


@pytest.mark.parametrize("size", [(1280, 800), (390, 844), (844, 390)], ids=["desktop", "phone", "turned"])
def test_before_the_first_picture_its_place_holds_one_line_of_text_and_nothing_over_it(
    playground: str, open_page: OpenPage, size: tuple[int, int]
) -> None:
    page = open_page(f"{playground}/page/main.js", viewport={"width": size[0], "height": size[1]})
    # No socket: the picture never comes.
    page.route_web_socket("**/realtime/**", lambda socket: None)
    page.goto(playground)
    page.wait_for_selector("#sources [aria-pressed=true]")
    for source in ("scene", "draw"):
        page.click(f"[data-source={source}]")
        inside, text = (page.locator(name).bounding_box() for name in ("#after", "#empty"))
        assert page.locator("#empty").is_visible()
        assert inside["x"] <= text["x"]
        assert text["x"] + text["width"] <= inside["x"] + inside["width"]
        for other in ("#handle", "#after figcaption"):
            assert not page.locator(other).is_visible()


def test_the_slider_uncovers_the_frame(playground: str, open_page: OpenPage) -> None:
    page = open_page(playground)
    page.wait_for_selector("main.has[data-view=slider]")
    page.keyboard.press(" ")
    page.wait_for_timeout(1000)  # what is under way arrives
    page.focus("#handle")
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    assert page.get_attribute("#handle", "aria-valuenow") == "100"
    frame = page.evaluate(MEAN_COLOUR)
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
    assert page.evaluate(MEAN_COLOUR) != frame


def test_recordings_are_files_that_others_can_read(
    playground: str, open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page(playground)
    page.wait_for_selector("main.has")
    page.keyboard.press("g")
    page.wait_for_timeout(1500)
    with page.expect_download() as gif:
        page.keyboard.press("g")
    gif.value.save_as(tmp_path / "loop.gif")
    with Image.open(tmp_path / "loop.gif") as loop:
        assert loop.size == (320, 320)
        assert loop.n_frames > 1
        loop.seek(loop.n_frames - 1)
        assert len(loop.convert("RGB").getcolors(200_000)) > 20
    page.keyboard.press("r")
    page.wait_for_timeout(1200)
    with page.expect_download() as film:
        page.keyboard.press("r")
    film.value.save_as(tmp_path / "film.webm")
    assert (tmp_path / "film.webm").read_bytes()[:4] == b"\x1aE\xdf\xa3"  # EBML


def test_a_camera_that_is_not_there_is_told_in_words(playground: str, open_page: OpenPage) -> None:
    page = open_page(playground)
    page.wait_for_selector("main.has")
    page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia ="
        " () => Promise.reject(new DOMException('no', 'NotAllowedError')); }"
    )
    page.keyboard.press("2")
    page.wait_for_selector(".toast.bad")
    assert "not allowed to use the camera" in page.text_content(".toast.bad")
    page.wait_for_selector("body[data-source=scene]")


def test_the_page_and_its_storage_hold_no_key(playground: str, open_page: OpenPage) -> None:
    page = open_page(playground)
    page.wait_for_selector("main.has")
    stored = page.evaluate("JSON.stringify({...localStorage, cookies: document.cookie})")
    assert set(json.loads(stored)) == {"falrt.model", "falrt.theme", "cookies"}


def test_msgpack_of_the_page_agrees_with_ours(playground: str, open_page: OpenPage) -> None:
    import msgpack

    values = [
        *(
            0,
            1,
            127,
            128,
            255,
            256,
            65535,
            65536,
            2**32 - 1,
            2**32,
            2**53 - 1,
            -1,
            -32,
            -33,
            -128,
            -129,
            -(2**31),
        ),
        *(0.5, -1e300, None, True, False, "", "ü" * 40, "x" * 300, "y" * 70000),
        [],
        list(range(20)),
        {},
        {f"k{n}": n for n in range(20)},
        {"deep": [{"er": [1, "two", {"three": None}]}]},
    ]
    page = open_page(playground)
    packed = page.evaluate(
        "async (values) => { const { encode, decode } = await import('/page/msgpack.js');"
        " return values.map((value) => ({ frame: [...encode(value)], back: decode(encode(value)) })); }",
        values,
    )
    for value, each in zip(values, packed, strict=True):
        assert msgpack.unpackb(bytes(each["frame"])) == value
        assert each["back"] == value
    theirs = [list(msgpack.packb(value)) for value in [*values, b"\x00\xff" * 200]]
    read = page.evaluate(
        "async (frames) => { const { decode } = await import('/page/msgpack.js');"
        " return frames.map((frame) => { const value = decode(new Uint8Array(frame));"
        " return value instanceof Uint8Array ? [...value] : value; }); }",
        theirs,
    )
    assert read == [*values, [0, 255] * 200]
