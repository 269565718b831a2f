"""fal for browsers: an ASGI app that keeps the key on your server. Needs the extra ``server``.

::

    from falrt import server

    app = server.create_app(allow=["fal-ai/flux-2/klein"], authorize=current_user)

It makes tokens, proxies HTTP calls, relays realtime sockets and shows one stream to many viewers. Run it alone,
mount it in your own app, or use its :func:`routes`.
"""

from falrt.exceptions import MissingDependencyError

try:
    from falrt.server.app import Routes, create_app, routes
    from falrt.server.channels import Channels
    from falrt.server.entrance import anyone
    from falrt.server.limits import Limit
    from falrt.server.shared import RedisChannels
except ModuleNotFoundError as exc:
    raise MissingDependencyError(exc.name or "starlette", "server", "falrt.server") from exc

__all__ = ["Channels", "Limit", "RedisChannels", "Routes", "anyone", "create_app", "routes"]
