from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from falrt import models
from falrt.server.catalogue import CATALOGUE
from falrt.server.playground import PAGE, create_playground
from tests.server.serving import KEY


def browser(*, address: str = "127.0.0.1", host: str = "localhost:3333", **options: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_playground(key=KEY, **options), client=(address, 1))
    return httpx.AsyncClient(transport=transport, base_url=f"http://{host}")


async def test_the_page_is_served_with_all_its_parts() -> None:
    async with browser() as http:
        page = await http.get("/")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'self'" in page.headers["content-security-policy"]
        parts = set(re.findall(r'"(/page/[\w.]+)', page.text + (await http.get("/screen")).text))
        assert {"/page/main.js", "/page/style.css", "/page/screen.js", "/page/icons.svg"} <= parts
        for part in parts:
            assert (await http.get(part)).status_code == 200, part


def test_every_module_that_is_imported_is_there_and_nothing_comes_from_elsewhere() -> None:
    for file in PAGE.iterdir():
        text = file.read_text()
        for name in re.findall(r'from "\./([\w.]+)"', text):
            assert (PAGE / name).is_file(), f"{file.name} imports {name}"
        assert [url for url in re.findall(r"https?://[\w.]+", text) if url != "http://www.w3.org"] == [], (
            file.name
        )


async def test_no_other_file_is_served() -> None:
    async with browser() as http:
        for path in (
            "/page/../app.py",
            "/page/%2e%2e/app.py",
            "/page/app.py",
            "/page/",
            "/page/x.js",
            "/nothing",
        ):
            assert (await http.get(path)).status_code == 404


async def test_the_models_are_described_from_their_types() -> None:
    async with browser(offline=True) as http:
        told = (await http.get("/models")).json()
    assert told["offline"] is True
    klein = told["models"][0]
    assert klein["app"] == models.KLEIN.app
    steps = next(option for option in klein["options"] if option["name"] == "num_inference_steps")
    assert (steps["kind"], steps["ge"], steps["le"], steps["default"]) == ("integer", 1, 8, 3)
    assert steps["help"].startswith("1 to 8")
    assert KEY not in str(told)


@pytest.mark.parametrize("offer", CATALOGUE, ids=lambda offer: offer.title)
def test_what_the_page_would_send_is_an_input_of_the_model(offer: Any) -> None:
    options = {option["name"]: option["default"] for option in offer.as_json()["options"]}
    picture = {offer.picture: "data:image/jpeg;base64,/9g="} if offer.picture == "image_url" else {}
    offer.model.input_type(prompt="a fox", **{**options, **offer.start}, **picture)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:3333", "127.0.0.1.evil.example", "localhost.evil.example", ""]
)
async def test_a_name_that_is_not_ours_is_refused(host: str) -> None:
    async with browser() as http:
        answer = await http.get("/", headers={"host": host})
    assert answer.status_code == 421


@pytest.mark.parametrize(
    "host", ["localhost:3333", "127.0.0.1:3333", "[::1]:3333", "192.0.2.7", "party.local:3333"]
)
async def test_addresses_and_names_of_ours_are_answered(host: str) -> None:
    async with browser(names=["party.local"]) as http:
        assert (await http.get("/", headers={"host": host})).status_code == 200


async def test_who_is_not_at_this_machine_gets_no_token_and_no_call() -> None:
    token = {"app": models.KLEIN.app}
    headers = {"x-fal-target-url": f"https://fal.run/{models.KLEIN.app}"}
    async with browser(address="192.0.2.7", host="192.0.2.1") as http:
        assert (await http.get("/api/fal/token", params=token)).status_code == 401
        assert (await http.post("/api/fal/proxy", json={}, headers=headers)).status_code == 401
