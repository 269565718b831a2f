// msgpack, as far as fal's realtime protocol goes: nil, booleans, numbers, text, bytes, arrays, maps, timestamps.

const text = new TextEncoder(), untext = new TextDecoder("utf-8", { fatal: true });

/** Return a value as msgpack; a Uint8Array becomes bin. */
export function encode(value) {
  const parts = [];
  let size = 0;
  const put = (part) => { parts.push(part); size += part.length; };
  const head = (kind, bytes, number) => {
    const view = new DataView(new ArrayBuffer(1 + bytes));
    view.setUint8(0, kind);
    if (bytes === 1) view.setUint8(1, number);
    if (bytes === 2) view.setUint16(1, number);
    if (bytes === 4) view.setUint32(1, number);
    put(new Uint8Array(view.buffer));
  };
  const sized = (length, fixed, fixedMost, kinds) => {
    if (length <= fixedMost) put([fixed | length]);
    else if (length < 0x100 && kinds[0]) head(kinds[0], 1, length);
    else if (length < 0x10000) head(kinds[1], 2, length);
    else head(kinds[2], 4, length);
  };
  const number = (n) => {
    if (Number.isInteger(n) && n >= -32 && n <= 127) put([n & 0xff]);
    else if (Number.isInteger(n) && n >= 0 && n < 0x100000000) sized(n, 0, -1, [0xcc, 0xcd, 0xce]);
    else {
      const view = new DataView(new ArrayBuffer(9));
      const whole = Number.isInteger(n) && n >= -0x80000000 && n < 0;
      view.setUint8(0, whole ? 0xd2 : 0xcb);
      if (whole) view.setInt32(1, n); else view.setFloat64(1, n);
      put(new Uint8Array(view.buffer, 0, whole ? 5 : 9));
    }
  };
  const any = (v) => {
    if (v === null || v === undefined) put([0xc0]);
    else if (typeof v === "boolean") put([v ? 0xc3 : 0xc2]);
    else if (typeof v === "number") number(v);
    else if (typeof v === "string") { const b = text.encode(v); sized(b.length, 0xa0, 31, [0xd9, 0xda, 0xdb]); put(b); }
    else if (v instanceof Uint8Array) { sized(v.length, 0, -1, [0xc4, 0xc5, 0xc6]); put(v); }
    else if (Array.isArray(v)) { sized(v.length, 0x90, 15, [0, 0xdc, 0xdd]); v.forEach(any); }
    else {
      const pairs = Object.entries(v).filter(([, each]) => each !== undefined);
      sized(pairs.length, 0x80, 15, [0, 0xde, 0xdf]);
      for (const [name, each] of pairs) { any(name); any(each); }
    }
  };
  any(value);
  const out = new Uint8Array(size);
  let at = 0;
  for (const part of parts) { out.set(part, at); at += part.length; }
  return out;
}

/** Return the value of a msgpack buffer; bin becomes a Uint8Array on the same memory. */
export function decode(data) {
  const bytes = data instanceof Uint8Array ? data : new Uint8Array(data);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const take = (length) => {
    if (at + length > bytes.length) throw new RangeError("the frame ends early");
    at += length;
    return at - length;
  };
  const u = (length) => { const p = take(length); return length === 1 ? view.getUint8(p) : length === 2 ? view.getUint16(p) : view.getUint32(p); };
  const str = (length) => { const p = take(length); return untext.decode(bytes.subarray(p, p + length)); };
  const bin = (length) => { const p = take(length); return bytes.subarray(p, p + length); };
  const list = (length, deep) => { const out = []; for (let i = 0; i < length; i++) out.push(any(deep)); return out; };
  const map = (length, deep) => { const out = {}; for (let i = 0; i < length; i++) { const name = any(deep); out[name] = any(deep); } return out; };
  const any = (depth) => {
    if (depth > 100) throw new RangeError("nested too deep");
    const kind = u(1), deep = depth + 1;
    if (kind < 0x80) return kind;
    if (kind < 0x90) return map(kind & 15, deep);
    if (kind < 0xa0) return list(kind & 15, deep);
    if (kind < 0xc0) return str(kind & 31);
    if (kind >= 0xe0) return kind - 256;
    switch (kind) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: return bin(u(1));
      case 0xc5: return bin(u(2));
      case 0xc6: return bin(u(4));
      case 0xc7: { const n = u(1); take(1); return bin(n); }
      case 0xc8: { const n = u(2); take(1); return bin(n); }
      case 0xc9: { const n = u(4); take(1); return bin(n); }
      case 0xca: return view.getFloat32(take(4));
      case 0xcb: return view.getFloat64(take(8));
      case 0xcc: return u(1);
      case 0xcd: return u(2);
      case 0xce: return u(4);
      case 0xcf: return Number(view.getBigUint64(take(8)));
      case 0xd0: return view.getInt8(take(1));
      case 0xd1: return view.getInt16(take(2));
      case 0xd2: return view.getInt32(take(4));
      case 0xd3: return Number(view.getBigInt64(take(8)));
      case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8: take(1); return bin(1 << (kind - 0xd4));
      case 0xd9: return str(u(1));
      case 0xda: return str(u(2));
      case 0xdb: return str(u(4));
      case 0xdc: return list(u(2), deep);
      case 0xdd: return list(u(4), deep);
      case 0xde: return map(u(2), deep);
      case 0xdf: return map(u(4), deep);
      default: throw new RangeError(`byte ${kind} means nothing`);
    }
  };
  const value = any(0);
  if (at !== bytes.length) throw new RangeError("the frame goes on after its end");
  return value;
}
