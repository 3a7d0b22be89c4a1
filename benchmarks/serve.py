"""What the server costs: requests of 32 clients against the engine's own speed on the same pictures, live clients'
shares, and whether memory grows.

    python benchmarks/serve.py ../shared/data/crowd/grid-4.mp4               (13 minutes; writes results/serve.json)
    python benchmarks/serve.py ../shared/data/crowd/grid-4.mp4 --seconds 20  (a first look)

The pictures are frames of a clip, of four faces each in grid-4. The server runs in a process of its own, as a user
starts it; the clients are sockets in this one, so what they spend is the machine's too and is counted against us.
Engine and server take turns of some seconds and the ratio is the median of the pairs, since machines are shared and
have better and worse minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image
from websockets.asyncio.client import connect

from manyfaces.bench.figures import slope_per_hour
from manyfaces.bench.machine import busy, circumstances
from manyfaces.build import build_engine, nobody
from manyfaces.engine import Chain, Engine
from manyfaces.options import Options
from manyfaces.sources import open_source
from manyfaces.types import Frame, FrameResult

RESULTS = Path(__file__).parent / "results" / "serve.json"
CLIENTS, LIVE_CLIENTS = 32, 8
PICTURES = 64
SECONDS = 600.0
EVERY = 5.0
PAIRS, TURN = 12, 8.0
WARM = 64
"""Pictures of each engine's turn that are not counted: some of them waited in its buffers while the server ran."""


def main() -> None:
    parser = argparse.ArgumentParser(description="The server under load.")
    parser.add_argument("clip", type=Path, help="a video of a few people; its frames are the pictures")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of load; live clients get a fifth of it")
    parser.add_argument("--json", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    if warning := busy():
        print(f"warning: {warning}", file=sys.stderr)
    head = circumstances(shlex.join(["python", "benchmarks/serve.py", *sys.argv[1:]]))
    with tempfile.TemporaryDirectory() as folder:
        paths = pictures_of(chosen.clip, Path(folder))
        contents = [path.read_bytes() for path in paths]
        with served(Path(folder)) as (port, process):
            pairs = in_turns(paths, port, contents, PAIRS if chosen.seconds >= 60 else 2, process)
            for engine, server in pairs:
                print(f"engine {engine:.1f}, server {server:.1f} pictures/s", flush=True)
            load = asyncio.run(under_load(port, contents, chosen.seconds, process))
            live = asyncio.run(live_shares(port, contents, max(chosen.seconds / 5, 5.0)))
    figures = {
        **head,
        "clip": chosen.clip.name,
        "faces_per_picture": round(load.pop("faces"), 2),
        "ratio": round(median(server / engine for engine, server in pairs), 3),
        "pairs": [[round(engine, 2), round(server, 2)] for engine, server in pairs],
        **load,
        "live": live,
    }
    chosen.json.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for name in (
        "ratio",
        "pictures_per_second",
        "server_cpu_ms",
        "p50_ms",
        "p99_ms",
        "refused",
        "rss_mb_per_hour",
    ):
        print(f"{name}: {figures[name]}")
    print(f"live: {live['rows_each']} rows each, {live['dropped']} dropped, p50 {live['p50_ms']} ms")


# --- the pictures ----------------------------------------------------------------------------------------------------


def pictures_of(clip: Path, folder: Path) -> list[Path]:
    """Frames from all over the clip, as JPEG."""
    frames = [item for item in open_source(str(clip)) if isinstance(item, Frame)]
    if len(frames) < PICTURES:
        raise SystemExit(f"{clip}: has {len(frames)} frames, {PICTURES} are needed; give a longer clip")
    paths = []
    for number, frame in enumerate(frames[:: len(frames) // PICTURES][:PICTURES]):
        paths.append(folder / f"picture-{number}.jpg")
        Image.fromarray(frame.image).save(paths[-1], quality=90)
    return paths


def in_turns(
    paths: list[Path], port: int, contents: list[bytes], pairs: int, process: int
) -> list[tuple[float, float]]:
    """Pictures a second of the engine by itself, from files, and of the server, turn by turn. A first pair, in which
    networks are loaded and compiled, is not counted."""
    results = engines_own(paths)
    both = []
    for _ in range(pairs + 1):
        engine = engines_turn(results)
        server = asyncio.run(under_load(port, contents, TURN, process))["pictures_per_second"]
        both.append((engine, float(server)))
    results.close()
    return both[1:]


def engines_own(paths: list[Path]) -> Generator[FrameResult, None, None]:
    """The same pictures over and over through one engine, which waits while nobody takes its results."""
    names = [str(path) for path in paths]
    engine = Engine(*build_engine(Options(), nobody))
    endless = (open_source(name) for _ in count() for name in names)
    for _, row in engine.run_chains([Chain(endless)]):
        yield row


def engines_turn(results: Iterator[FrameResult]) -> float:
    for _ in range(WARM):
        next(results)
    begun, seen = time.perf_counter(), 0
    while time.perf_counter() - begun < TURN:
        seen += not next(results).error
    return seen / (time.perf_counter() - begun)


# --- the server ------------------------------------------------------------------------------------------------------


@contextmanager
def served(folder: Path) -> Iterator[tuple[int, int]]:
    """A server on a free port: the port, and the number of its process."""
    command = [sys.executable, "-m", "manyfaces", "serve", "--port", "0", "--gallery", str(folder / "people.db")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address = next(line for line in process.stderr if "serving at" in line).split()[-1]
        port = int(address.rstrip("/").rpartition(":")[2])
        drained = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
        try:
            yield port, process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            drained.wait(10)


def processor_seconds(process: int) -> float:
    """What all its threads have spent, in the kernel too."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(process: int) -> float:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


# --- requests --------------------------------------------------------------------------------------------------------


async def under_load(port: int, contents: list[bytes], seconds: float, process: int) -> dict[str, Any]:
    """Each client sends its next picture when it has the last one's row."""
    requests = [request_of(content) for content in contents]
    waited: list[float] = []
    faces: list[int] = []
    refused = [0]
    until = [time.perf_counter() + 5]  # a first round in which everything is loaded and compiled, not counted
    await asyncio.gather(*(client(port, requests, number, until, [], [], [0]) for number in range(CLIENTS)))
    begun, before = time.perf_counter(), processor_seconds(process)
    until[0] = begun + seconds
    samples: list[tuple[float, float]] = []
    watching = asyncio.create_task(watch(process, begun, samples))
    await asyncio.gather(*(client(port, requests, number, until, waited, faces, refused) for number in range(CLIENTS)))
    watching.cancel()
    spent, cpu = time.perf_counter() - begun, processor_seconds(process) - before
    times = np.array(waited) * 1000
    settled = [sample for sample in samples if sample[0] >= min(60.0, seconds / 4)]
    return {
        "clients": CLIENTS,
        "seconds": round(spent, 1),
        "requests": len(waited),
        "refused": refused[0],
        "pictures_per_second": round(len(waited) / spent, 2),
        "server_cpu_ms": round(1000 * cpu / len(waited), 2),
        "p50_ms": round(float(np.percentile(times, 50)), 1),
        "p95_ms": round(float(np.percentile(times, 95)), 1),
        "p99_ms": round(float(np.percentile(times, 99)), 1),
        "rss_mb": [round(memory, 1) for _, memory in samples],
        "rss_mb_per_hour": round(slope_per_hour(*zip(*settled, strict=True)), 1) if len(settled) > 2 else None,
        "faces": float(np.mean(faces)),
    }


async def watch(process: int, begun: float, samples: list[tuple[float, float]]) -> None:
    while True:
        samples.append((time.perf_counter() - begun, resident_mb(process)))
        await asyncio.sleep(EVERY)


def request_of(content: bytes) -> bytes:
    edge = "edge-of-the-picture"
    body = (
        f'--{edge}\r\nContent-Disposition: form-data; name="pictures"; filename="p.jpg"\r\n\r\n'.encode()
        + content
        + f"\r\n--{edge}--\r\n".encode()
    )
    head = (
        f"POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary={edge}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def client(
    port: int, requests: list[bytes], number: int, until: list[float], waited: list[float], faces: list[int],
    refused: list[int],
) -> None:  # fmt: skip
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until[0]:
        number = (number + 1) % len(requests)
        begun = time.perf_counter()
        writer.write(requests[number])
        status, body = await answer(reader)
        if status == 200:
            waited.append(time.perf_counter() - begun)
            faces.append(len(json.loads(body)["results"][0]["faces"]))
        else:
            refused[0] += 1
    writer.close()


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = next(int(line.partition(":")[2]) for line in head.splitlines() if line.startswith("content-length"))
    return int(head.split()[1]), await reader.readexactly(length)


# --- live ------------------------------------------------------------------------------------------------------------


async def live_shares(port: int, contents: list[bytes], seconds: float) -> dict[str, Any]:
    """Eight clients that each send 15 frames a second, whether they are answered or not."""
    told = await asyncio.gather(*(one_live(port, contents, number, seconds) for number in range(LIVE_CLIENTS)))
    rows = [len(ages) for ages, _ in told]
    ages = np.concatenate([np.array(ages) for ages, _ in told])
    return {
        "clients": LIVE_CLIENTS,
        "seconds": seconds,
        "rows_each": rows,
        "rows_per_second": round(sum(rows) / seconds, 1),
        "least_to_most": round(min(rows) / max(rows), 3),
        "dropped": sum(dropped for _, dropped in told),
        "p50_ms": round(float(np.percentile(ages, 50)), 1),
        "p99_ms": round(float(np.percentile(ages, 99)), 1),
    }


async def one_live(port: int, contents: list[bytes], number: int, seconds: float) -> tuple[list[float], int]:
    ages: list[float] = []
    dropped = 0
    async with connect(f"ws://127.0.0.1:{port}/v1/live", compression=None, proxy=None) as socket:
        sending = asyncio.create_task(send_frames(socket, contents, number, seconds))
        try:
            async with asyncio.timeout(seconds):
                while True:
                    row = json.loads(await socket.recv())
                    ages.append(1000 * time.perf_counter() - row["sent"])
                    dropped += row["dropped"]
        except TimeoutError:
            pass
        sending.cancel()
    return ages, dropped


async def send_frames(socket: Any, contents: list[bytes], number: int, seconds: float) -> None:
    """One picture that hardly changes, as of a camera that stands."""
    begun = time.perf_counter()
    frame = 0
    while time.perf_counter() - begun < seconds:
        await socket.send(json.dumps({"sent": 1000 * time.perf_counter()}))
        await socket.send(contents[number % len(contents)])
        frame += 1
        await asyncio.sleep(max(0.0, begun + frame / 15 - time.perf_counter()))


if __name__ == "__main__":
    main()
