"""A webcam page: the browser talks to this FastAPI app, the app talks to fal and keeps the key.

Needs: pip install 'falrt[local,server]' fastapi
Use: python examples/fastapi_relay.py, then open http://127.0.0.1:8000
"""

import fastapi
import uvicorn
from fastapi.responses import HTMLResponse

from falrt import server
from falrt.local import fal_or_stand_in

PAGE = """<!doctype html><meta charset="utf-8"><title>falrt relay</title>
<body style="font: 16px system-ui; background: #15171c; color: #e8ebf0; text-align: center">
<p><input id="prompt" size="60" value="oil painting, molten gold and sapphire"></p>
<video autoplay muted playsinline width="384" height="384" style="object-fit: cover"></video>
<img width="384" height="384">
<script type="module">
const [video, picture] = [document.querySelector("video"), document.querySelector("img")];
video.srcObject = await navigator.mediaDevices.getUserMedia({ video: true });
const canvas = Object.assign(document.createElement("canvas"), { width: 512, height: 512 });
const address = location.origin.replace("http", "ws") + "/api/fal/realtime/fal-ai/flux-2/klein/realtime";
const socket = new WebSocket(address);
socket.onmessage = ({ data }) => {
  const images = JSON.parse(data).images;
  // Klein's pictures come as bytes, in JSON as base64; other models' as a URL.
  if (images) picture.src = images.at(-1).url ?? `data:image/jpeg;base64,${images.at(-1).content}`;
};
setInterval(() => {
  if (socket.readyState !== WebSocket.OPEN || socket.bufferedAmount || !video.videoWidth) return;
  const side = Math.min(video.videoWidth, video.videoHeight);
  canvas.getContext("2d").drawImage(video, (video.videoWidth - side) / 2, (video.videoHeight - side) / 2,
    side, side, 0, 0, 512, 512);
  const prompt = document.querySelector("#prompt").value;
  socket.send(JSON.stringify({ image_url: canvas.toDataURL("image/jpeg", 0.8), prompt }));
}, 50);
</script>"""


def create_app(**where: str) -> fastapi.FastAPI:
    # Let everybody in: fine on this machine. For the world, give a function that says who asks.
    relay = server.routes(allow=["fal-ai/flux-2/klein"], authorize=server.anyone, **where)
    app = fastapi.FastAPI(lifespan=relay.lifespan)
    app.router.routes.extend(relay)

    @app.get("/", response_class=HTMLResponse)
    def page() -> str:
        return PAGE

    return app


if __name__ == "__main__":
    with fal_or_stand_in() as fal:
        uvicorn.run(create_app(**fal), port=8000)
