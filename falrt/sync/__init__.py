"""falrt without asyncio: for scripts, Jupyter and plug-ins.

The names of ``falrt``, blocking. It adds no logic: every call goes to an event loop that runs in a thread of its own
while the connection or the client is open, so it works where a loop is running already (Jupyter) and where none may
run (plug-ins).

::

    with falrt.sync.connect(models.KLEIN) as conn:
        out = conn.request(models.KleinInput(image_url="me.jpg", prompt="oil painting"))
"""

from falrt.sync.client import Client, connect
from falrt.sync.connection import Connection
from falrt.sync.jobs import Job
from falrt.sync.pipeline import Pipeline

__all__ = ["Client", "Connection", "Job", "Pipeline", "connect"]
