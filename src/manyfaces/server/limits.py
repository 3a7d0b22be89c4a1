"""How much of everything is taken in, from everybody and from each. Every bound of the server is a number here."""

from __future__ import annotations

from dataclasses import dataclass

MEGA = 1_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """upload, video: megabytes of a request. megapixels: of one picture or frame, looked up in its header before it is
    decoded. video_seconds: length of an uploaded video. pictures: of one request. waiting: pictures of all requests
    that may be accepted and not yet answered; past it 503. pixels: megapixels of all pictures that are decoded at once.

    requests, client_mb: what one client may have under way; total_mb: what all may. connections: of all clients. live,
    streams, videos: how many of each at once. stream_idle: seconds after which a stream that nobody feeds or pulls is
    forgotten.

    headers, silence, pace, reading: a client must send its headers within so many seconds, must never be silent for so
    long while it sends a body, must send at least so many bytes a second on average (after one `silence`), and must
    take what it is sent within so many seconds. drain: seconds for finishing what was accepted when the server stops.
    """

    upload_mb: float = 64
    video_mb: float = 1024
    frame_mb: float = 8
    megapixels: float = 50
    video_seconds: float = 3600
    pictures: int = 256
    waiting: int = 512
    pixels: float = 200
    requests: int = 64
    client_mb: float = 2048
    total_mb: float = 4096
    connections: int = 1000
    live: int = 32
    streams: int = 64
    videos: int = 4
    stream_idle: float = 600
    headers: float = 10
    silence: float = 15
    pace: float = 1024
    reading: float = 60
    drain: float = 30

    @property
    def upload_bytes(self) -> int:
        return int(self.upload_mb * MEGA)

    @property
    def video_bytes(self) -> int:
        return int(self.video_mb * MEGA)

    @property
    def frame_bytes(self) -> int:
        return int(self.frame_mb * MEGA)

    @property
    def client_bytes(self) -> int:
        return int(self.client_mb * MEGA)

    @property
    def total_bytes(self) -> int:
        return int(self.total_mb * MEGA)

    @property
    def picture_pixels(self) -> int:
        return int(self.megapixels * MEGA)

    @property
    def pixels_at_once(self) -> int:
        return int(max(self.pixels, self.megapixels) * MEGA)
