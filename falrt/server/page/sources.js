// Where frames come from. Each source draws itself into a square canvas; `live` ones move, the others change when told.

export function cover(g, size, image, width, height, mirrored = false) {
  const scale = Math.max(size / width, size / height), w = width * scale, h = height * scale;
  g.save();
  if (mirrored) { g.translate(size, 0); g.scale(-1, 1); }
  g.drawImage(image, (size - w) / 2, (size - h) / 2, w, h);
  g.restore();
}

/** Hills, a sun that wanders, a boat: something to see where there is no camera. */
export class Scene {
  live = true;
  async start() {}
  draw(g, size) {
    const t = performance.now() / 1000, unit = size / 100;
    const sky = g.createLinearGradient(0, 0, 0, size * 0.62);
    sky.addColorStop(0, `hsl(${220 + 20 * Math.sin(t / 7)} 60% 30%)`);
    sky.addColorStop(1, `hsl(${25 + 12 * Math.sin(t / 5)} 90% 66%)`);
    g.fillStyle = sky; g.fillRect(0, 0, size, size);
    const x = size * (0.5 + 0.32 * Math.sin(t / 2.4)), y = size * (0.3 + 0.08 * Math.cos(t / 2.4));
    g.fillStyle = "#fff3c4"; g.beginPath(); g.arc(x, y, 9 * unit, 0, 7); g.fill();
    for (let layer = 0; layer < 3; layer++) {
      g.fillStyle = `hsl(${250 - 24 * layer} 34% ${34 - 8 * layer}%)`;
      g.beginPath(); g.moveTo(0, size);
      for (let i = 0; i <= 50; i++) {
        const u = i / 50, far = t * (0.05 + 0.06 * layer);
        g.lineTo(u * size, size * (0.5 + 0.07 * layer + 0.07 * Math.sin(5 * u + 3 * layer + far * 3) + 0.035 * Math.sin(13 * u - far * 5)));
      }
      g.lineTo(size, size); g.fill();
    }
    const water = g.createLinearGradient(0, size * 0.74, 0, size);
    water.addColorStop(0, "#37587d"); water.addColorStop(1, "#122237");
    g.fillStyle = water; g.fillRect(0, size * 0.74, size, size);
    g.strokeStyle = "#ffffff44"; g.lineWidth = 0.5 * unit;
    for (let i = 0; i < 9; i++) {
      const row = size * (0.77 + 0.026 * i), shift = 9 * unit * Math.sin(t * 1.3 + i * 1.7);
      g.beginPath(); g.moveTo(x - 14 * unit + shift, row); g.lineTo(x + 14 * unit + shift, row); g.stroke();
    }
    const bx = size * (((t / 14) % 1.3) - 0.15), by = size * 0.79 + unit * Math.sin(t * 2);
    g.fillStyle = "#2b1810"; g.beginPath(); g.moveTo(bx - 9 * unit, by); g.lineTo(bx + 9 * unit, by); g.lineTo(bx + 6 * unit, by + 4.5 * unit); g.lineTo(bx - 6 * unit, by + 4.5 * unit); g.fill();
    g.fillStyle = "#f6efe2"; g.beginPath(); g.moveTo(bx + unit, by - unit); g.lineTo(bx + unit, by - 18 * unit); g.lineTo(bx - 8 * unit, by - unit); g.fill();
    return true;
  }
  stop() {}
}

export class Camera {
  live = true;
  constructor(video) { this.video = video; }
  async start() {
    if (!navigator.mediaDevices) throw new Error("The camera needs https, or localhost: open this page there.");
    try {
      this.media = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, height: { ideal: 720 }, facingMode: "user" }, audio: false });
    } catch (error) {
      const words = {
        NotAllowedError: "The browser was not allowed to use the camera. Allow it beside the address, or choose another source.",
        NotFoundError: "There is no camera here. Choose another source.",
        NotReadableError: "Another program is using the camera. Close it, or choose another source.",
      };
      throw new Error(words[error.name] || `The camera does not start (${error.message}).`);
    }
    this.video.srcObject = this.media;
    await this.video.play();
  }
  draw(g, size) {
    if (!this.video.videoWidth) return false;
    cover(g, size, this.video, this.video.videoWidth, this.video.videoHeight, true);
    return true;
  }
  stop() {
    this.media?.getTracks().forEach((track) => track.stop());
    this.video.srcObject = null;
  }
}

export class File {
  constructor(file, video) { this.file = file; this.video = video; this.live = file.type.startsWith("video/"); }
  async start() {
    this.url = URL.createObjectURL(this.file);
    if (this.live) {
      this.video.src = this.url; this.video.loop = true;
      await this.video.play().catch(() => { throw new Error("This browser cannot play that film. Try an MP4 or WebM."); });
      return;
    }
    this.image = await createImageBitmap(this.file).catch(() => { throw new Error("This browser cannot show that file as a picture."); });
  }
  draw(g, size) {
    if (this.live) {
      if (!this.video.videoWidth) return false;
      cover(g, size, this.video, this.video.videoWidth, this.video.videoHeight);
    } else cover(g, size, this.image, this.image.width, this.image.height);
    return true;
  }
  stop() {
    if (this.live) { this.video.pause(); this.video.removeAttribute("src"); this.video.load(); }
    URL.revokeObjectURL(this.url);
  }
}

export class Words {
  live = false;
  async start() {}
  draw() { return false; }
  stop() {}
}

/** A sheet of paper: strokes with the pen's pressure, undone one by one. */
export class Drawing {
  live = false;
  constructor(canvas, brush, changed) { Object.assign(this, { canvas, brush, changed, strokes: [], stroke: null }); }
  async start() {
    this.canvas.parentElement.classList.add("drawing");
    this.on = new AbortController();
    const { signal } = this.on;
    const point = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, event.pointerType === "pen" ? event.pressure * 1.6 : 1];
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      this.stroke = { ...this.brush(), points: [point(event)] };
      this.strokes.push(this.stroke);
      this.changed();
    }, { signal });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!this.stroke) return;
      for (const each of event.getCoalescedEvents?.().length ? event.getCoalescedEvents() : [event]) this.stroke.points.push(point(each));
      this.changed();
    }, { signal });
    for (const end of ["pointerup", "pointercancel"]) this.canvas.addEventListener(end, () => { this.stroke = null; this.changed(); }, { signal });
  }
  undo() { this.strokes.pop(); this.changed(); }
  clear() { this.strokes = []; this.changed(); }
  draw(g, size) {
    g.fillStyle = "#fff"; g.fillRect(0, 0, size, size);
    g.lineCap = g.lineJoin = "round";
    for (const { colour, width, points } of this.strokes) {
      g.strokeStyle = g.fillStyle = colour;
      const unit = (width / 704) * size;
      if (points.length === 1) { g.beginPath(); g.arc(points[0][0] * size, points[0][1] * size, unit / 2, 0, 7); g.fill(); }
      for (let i = 1; i < points.length; i++) {
        g.lineWidth = unit * points[i][2];
        g.beginPath(); g.moveTo(points[i - 1][0] * size, points[i - 1][1] * size); g.lineTo(points[i][0] * size, points[i][1] * size); g.stroke();
      }
    }
    return true;
  }
  stop() { this.on.abort(); this.canvas.parentElement.classList.remove("drawing"); }
}
