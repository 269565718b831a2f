"""A drawing page with a login: users who are logged in can draw; the app relays to fal and keeps the key.

Needs: pip install 'falrt[local,server]' fastapi
Use: python examples/fastapi_canvas.py, then open http://127.0.0.1:8000; anna's password is "anna", ben's is "ben"
"""

import hmac
import secrets
from pathlib import Path
from urllib.parse import parse_qs

import fastapi
import uvicorn
from fastapi.responses import HTMLResponse, RedirectResponse

from falrt import server
from falrt.local import fal_or_stand_in

PAGE = Path(__file__).with_suffix(".html").read_text()
LOGIN = """<!doctype html><meta name="viewport" content="width=device-width"><title>log in</title>
<form method="post" action="/login" style="font: 16px system-ui; display: grid; gap: 1rem; width: 16rem; margin: auto">
<input name="name" placeholder="name" autofocus><input name="password" type="password" placeholder="password">
<button>Log in</button></form>"""
PASSWORDS = {"anna": "anna", "ben": "ben"}  # yours are hashed, in a database


def create_app(**where: str) -> fastapi.FastAPI:
    sessions: dict[str, str] = {}  # random cookie -> name

    def current_user(request: fastapi.Request) -> str | None:
        return sessions.get(request.cookies.get("session", ""))

    fal = server.routes(
        allow=["fal-ai/flux-2/klein"], authorize=current_user, limit=server.Limit(sockets=1), **where
    )
    app = fastapi.FastAPI(lifespan=fal.lifespan)
    app.router.routes.extend(fal)

    @app.get("/", response_class=HTMLResponse)
    def page(request: fastapi.Request) -> str:
        name = current_user(request)
        return LOGIN if name is None else PAGE.replace("{name}", name)

    @app.post("/login")
    async def login(request: fastapi.Request) -> RedirectResponse:
        form = {key: values[0] for key, values in parse_qs((await request.body()).decode()).items()}
        home = RedirectResponse("/", 303)
        name, password = form.get("name", ""), form.get("password", "")
        if name in PASSWORDS and hmac.compare_digest(PASSWORDS[name].encode(), password.encode()):
            sessions[cookie := secrets.token_urlsafe()] = name
            home.set_cookie("session", cookie, httponly=True, samesite="strict")  # and secure=True behind TLS
        return home

    return app


if __name__ == "__main__":
    with fal_or_stand_in() as fal_is:
        uvicorn.run(create_app(**fal_is), port=8000)
