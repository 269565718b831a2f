// GIF, in one file: a palette by median cut, error diffusion, and LZW.

/** Return a GIF as a Blob. `frames`: [{ pixels: RGBA, delay: ms }], all of one size. */
export function gif(frames, width, height) {
  const out = [];
  const bytes = (...values) => { for (const value of values) out.push(value & 255); };
  const short = (value) => bytes(value, value >> 8);
  const palette = paletteOf(frames), lookup = new Map();
  for (const c of "GIF89a") bytes(c.charCodeAt(0));
  short(width); short(height); bytes(0xf7, 0, 0);
  for (let i = 0; i < 256; i++) bytes(...(palette[i] || [0, 0, 0]));
  bytes(0x21, 0xff, 11); for (const c of "NETSCAPE2.0") bytes(c.charCodeAt(0)); bytes(3, 1, 0, 0, 0);
  for (const { pixels, delay } of frames) {
    bytes(0x21, 0xf9, 4, 4); short(Math.max(2, Math.round(delay / 10))); bytes(0, 0);
    bytes(0x2c); short(0); short(0); short(width); short(height); bytes(0, 8);
    const packed = lzw(indexed(pixels, width, height, palette, lookup));
    for (let at = 0; at < packed.length; at += 255) { const part = packed.slice(at, at + 255); bytes(part.length); for (const b of part) out.push(b); }
    bytes(0);
  }
  bytes(0x3b);
  return new Blob([new Uint8Array(out)], { type: "image/gif" });
}

function paletteOf(frames) {
  const samples = [];
  const step = Math.max(1, Math.floor((frames.length * frames[0].pixels.length) / 4 / 20000));
  for (const { pixels } of frames) for (let i = 0; i < pixels.length; i += 4 * step) samples.push([pixels[i], pixels[i + 1], pixels[i + 2]]);
  const boxes = [samples];
  while (boxes.length < 256) {
    let best = -1, widest = 0, axis = 0;
    boxes.forEach((box, index) => {
      if (box.length < 2) return;
      for (let c = 0; c < 3; c++) {
        let least = 255, most = 0;
        for (const s of box) { if (s[c] < least) least = s[c]; if (s[c] > most) most = s[c]; }
        const spread = (most - least) * Math.sqrt(box.length);
        if (spread > widest) { widest = spread; best = index; axis = c; }
      }
    });
    if (best < 0) break;
    const box = boxes[best].sort((a, b) => a[axis] - b[axis]), half = box.length >> 1;
    boxes.splice(best, 1, box.slice(0, half), box.slice(half));
  }
  return boxes.map((box) => [0, 1, 2].map((c) => Math.round(box.reduce((sum, s) => sum + s[c], 0) / Math.max(1, box.length))));
}

function indexed(pixels, width, height, palette, lookup) {
  const out = new Uint8Array(width * height);
  // Errors of this row and the next, passed on so that few colours look like many.
  let here = new Float32Array(3 * (width + 2)), below = new Float32Array(3 * (width + 2));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const p = 4 * (y * width + x), e = 3 * (x + 1);
      const r = clamp(pixels[p] + here[e]), g = clamp(pixels[p + 1] + here[e + 1]), b = clamp(pixels[p + 2] + here[e + 2]);
      const key = ((r >> 3) << 10) | ((g >> 3) << 5) | (b >> 3);
      let index = lookup.get(key);
      if (index === undefined) lookup.set(key, (index = nearest(r, g, b, palette)));
      out[y * width + x] = index;
      const near = palette[index];
      [r - near[0], g - near[1], b - near[2]].forEach((error, c) => {
        here[e + 3 + c] += error * 0.4; below[e + c] += error * 0.3; below[e - 3 + c] += error * 0.1; below[e + 3 + c] += error * 0.05;
      });
    }
    [here, below] = [below, here]; below.fill(0);
  }
  return out;
}

const clamp = (value) => (value < 0 ? 0 : value > 255 ? 255 : value | 0);

function nearest(r, g, b, palette) {
  let best = 0, least = Infinity;
  for (let i = 0; i < palette.length; i++) {
    const [pr, pg, pb] = palette[i], d = 2 * (r - pr) ** 2 + 4 * (g - pg) ** 2 + 3 * (b - pb) ** 2;
    if (d < least) { least = d; best = i; }
  }
  return best;
}

function lzw(indices) {
  const out = [], CLEAR = 256, END = 257;
  let bits = 0, held = 0, size = 9, next = 258, table = new Map();
  const put = (code) => { bits |= code << held; held += size; while (held >= 8) { out.push(bits & 255); bits >>>= 8; held -= 8; } };
  put(CLEAR);
  let prefix = indices[0];
  for (let i = 1; i < indices.length; i++) {
    const key = (prefix << 8) | indices[i], known = table.get(key);
    if (known !== undefined) { prefix = known; continue; }
    put(prefix);
    if (next === 4096) { put(CLEAR); table = new Map(); next = 258; size = 9; }
    else { table.set(key, next); if (next++ === 1 << size) size++; }
    prefix = indices[i];
  }
  put(prefix); put(END);
  if (held) out.push(bits & 255);
  return out;
}
