"""Throw arbitrary and hostile frames at the decoders: each must give a message or a DecodeError, in bounded memory.

    python benchmarks/fuzz_codecs.py                     # a million frames at Msgpack
    python benchmarks/fuzz_codecs.py --fuzz 10000 --codec json --seed 3

Prints, for each kind of frame, how many were read and how many refused, the rate, and the largest memory that one
frame took beyond its own size (traced for a sample; tracing every frame would take ten times as long).
"""

from __future__ import annotations

import argparse
import random
import resource
import struct
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import msgpack

from falrt.codecs import Json, Msgpack
from falrt.exceptions import DecodeError
from falrt.typing import Codec

CODECS: dict[str, Callable[[], Codec]] = {
    "msgpack": Msgpack,
    "json": Json,
}
TRACED_EVERY = 200
HEADS = (
    0x80,
    0x90,
    0xC1,
    0xC4,
    0xC5,
    0xC6,
    0xC7,
    0xC8,
    0xC9,
    0xD4,
    0xD6,
    0xD7,
    0xD9,
    0xDB,
    0xDC,
    0xDD,
    0xDE,
    0xDF,
)


def real_frames(source: random.Random, codec: Codec) -> list[bytes]:
    picture = {"content": source.randbytes(2000), "content_type": "image/jpeg", "width": 704, "height": 704}
    messages = [
        {
            "images": [picture],
            "seed": 2**40 + 1,
            "timings": {"inference": 0.0431},
            "has_nsfw_concepts": [False],
        },
        {
            "images": [{"url": "data:image/jpeg;base64," + "QUJD" * 500}],
            "prompt": "a café ☕",
            "request_id": "",
        },
        {"type": "x-fal-error", "error": "TIMEOUT", "reason": "no inputs, reconnect when needed!"},
        {"numbers": list(range(3000)), "nested": [[[{"a": None}]]]},
    ]
    frames = [codec.encode(message) for message in messages]
    if not isinstance(codec, Json):
        frames.append(
            msgpack.packb({"at": msgpack.Timestamp(1_800_000_000, 5), "x": msgpack.ExtType(7, b"abc")})
        )
    return [frame if isinstance(frame, bytes) else frame.encode() for frame in frames]


@dataclass
class Frames:
    """Makes frames of each kind from one seed."""

    source: random.Random
    real: list[bytes]

    def random(self) -> bytes:
        return self.source.randbytes(self.source.randrange(200))

    def mutated(self) -> bytes:
        frame = bytearray(self.source.choice(self.real))
        for _ in range(self.source.randrange(1, 6)):
            # Headers stand near the front and between values; the middle of a picture teaches nothing.
            position = self.source.randrange(
                min(len(frame), 120 if self.source.random() < 0.7 else len(frame))
            )
            frame[position] = (
                self.source.choice(HEADS) if self.source.random() < 0.5 else self.source.randrange(256)
            )
        return bytes(frame)

    def cut(self) -> bytes:
        frame = self.source.choice(self.real)
        return frame[: self.source.randrange(len(frame))]

    def joined(self) -> bytes:
        return self.source.choice(self.real)[: self.source.randrange(300)] + self.source.choice(self.real)

    def headers(self) -> bytes:
        """Nested and repeated headers that claim more than there is."""
        parts = []
        for _ in range(self.source.randrange(1, 40)):
            head = self.source.choice((0xDC, 0xDD, 0xDE, 0xDF, 0xC6, 0xDB, 0xC9))
            claim = self.source.choice(
                (0xFFFFFFFF, 0x7FFFFFFF, 70_000, 1024, 1025, self.source.getrandbits(32))
            )
            short = head in (0xDC, 0xDE)
            parts.append(
                bytes((head,)) + struct.pack(">H" if short else ">I", claim & 0xFFFF if short else claim)
            )
        return b"".join(parts) + bytes(self.source.randrange(100))

    def lying(self) -> bytes:
        """Arrays inside arrays, each claiming as many items as the frame has bytes: the decoder's worst case."""
        size, depth = self.source.choice((2_000, 20_000)), self.source.randrange(1, 400)
        frame = (b"\xdd" + struct.pack(">I", size)) * depth
        return frame + b"\xc0" * (size - len(frame))

    def deep(self) -> bytes:
        opening = self.source.choice((b"\x91", b"\x81\xa1a", b"[", b'{"a":', b"\xdc\x00\x01", b"\x81\x91"))
        return opening * self.source.randrange(1, 2500) + self.source.choice((b"", b"\x01", b"1"))


# How often each kind is made.
WEIGHTS = {"random": 30, "mutated": 35, "cut": 10, "joined": 10, "headers": 10, "lying": 1, "deep": 4}


@dataclass
class Findings:
    read: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    worst_memory: Counter[str] = field(default_factory=Counter)
    slowest: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def decode(self, codec: Codec, kind: str, frame: bytes) -> None:
        started = time.perf_counter()
        try:
            codec.decode(frame)
            self.read[kind] += 1
        except DecodeError as exc:
            self.refused[kind] += 1
            if exc.size != len(frame):
                self.wrong.append(f"{kind}: size {exc.size} of a frame of {len(frame)}")
        except BaseException as exc:
            self.wrong.append(f"{kind}: {type(exc).__name__} for {frame[:60]!r} ({len(frame)} bytes)")
        self.slowest[kind] = max(self.slowest[kind], int((time.perf_counter() - started) * 1e6))

    def decode_traced(self, codec: Codec, kind: str, frame: bytes) -> None:
        tracemalloc.start()
        self.decode(codec, kind, frame)
        self.worst_memory[kind] = max(self.worst_memory[kind], tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fuzz", type=int, default=1_000_000, metavar="N", help="frames to decode")
    parser.add_argument("--codec", choices=CODECS, default="msgpack")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    codec = CODECS[options.codec]()
    source = random.Random(options.seed)
    frames = Frames(source, real_frames(source, codec))
    findings = Findings()
    kinds = source.choices(list(WEIGHTS), list(WEIGHTS.values()), k=options.fuzz)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    for number, kind in enumerate(kinds):
        frame: bytes = getattr(frames, kind)()
        decode = findings.decode if number % TRACED_EVERY else findings.decode_traced
        decode(codec, kind, frame)
    seconds = time.perf_counter() - started
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

    print(
        f"{codec!r}, seed {options.seed}: {options.fuzz} frames in {seconds:.1f} s, {options.fuzz / seconds:.0f}/s"
    )
    print(f"{'kind':10}{'read':>10}{'refused':>10}{'peak KB':>10}{'worst us':>10}")
    for kind in WEIGHTS:
        print(
            f"{kind:10}{findings.read[kind]:10}{findings.refused[kind]:10}"
            f"{findings.worst_memory[kind] / 1e3:10.0f}{findings.slowest[kind]:10}"
        )
    print(f"resident memory grew by {grown / 1024:.1f} MB")
    for line in findings.wrong[:20]:
        print("WRONG", line)
    print(f"{len(findings.wrong)} frames gave neither a message nor a proper DecodeError")
    return 1 if findings.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
