"""falrt without asyncio: for scripts, Jupyter and plug-ins.

It has the names of ``falrt``, as blocking calls. Each call runs on an event loop in a background thread while the
connection or the client is open, so it also works where another loop is running (Jupyter) or none may run (plug-ins).

::

    with falrt.sync.connect(models.KLEIN) as conn:
        out = conn.request(models.KleinInput(image_url=Path("me.jpg"), prompt="oil painting"))
"""

from falrt.sync.client import Client, batch, connect
from falrt.sync.connection import Connection
from falrt.sync.jobs import Job
from falrt.sync.pipeline import Pipeline

__all__ = ["Client", "Connection", "Job", "Pipeline", "batch", "connect"]
