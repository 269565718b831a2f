"""fal over HTTP: run, queue, server-sent events, uploads, HTTP over WebSockets. Thin on httpx, loaded on first use."""
