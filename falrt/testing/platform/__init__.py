"""fal as we play it, once: gateway, tokens, apps and runner sessions, without a server of its own.

`FakeServer` drives it over its own wire, `falrt.local` over Starlette. Both turn what arrives into a
`Request`, and `Platform` decides:

- ``await platform.respond(request)`` gives the `Response` to an HTTP request;
- ``platform.judge(request)`` gives the `App` behind a WebSocket handshake, or the `Refusal`.

One more HTTP route is a `Route` in a module of its own, added in `Platform.__init__`:

```python
class Greetings:
    def __init__(self, apps: Apps) -> None:
        self._apps = apps
        self.routes = (Route("POST", "queue.fal.run", r"/(?P<app>.+)/hello", self._hello),)

    async def _hello(self, request: Request, app: str) -> Response:
        if self._apps.find(app) is None:
            raise not_found(request)
        return Response.json(200, {"said": request.json()})
```
"""
