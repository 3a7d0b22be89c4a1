"""Any number of crops through a network, in batches small enough for the processor's cache."""

from __future__ import annotations

import numpy as np

from manyfaces.runtime import Network
from manyfaces.types import Floats, Pixels

BATCH = 16
"""Beyond this a batch gains no speed and only takes memory (see the runtime table in docs/decisions/0001)."""


def in_batches(network: Network, pixels: Pixels, output: str, width: int) -> Floats:
    """The named output for every crop, (n, width); no crops, no call."""
    parts = [network(pixels[start : start + BATCH])[output] for start in range(0, len(pixels), BATCH)]
    return np.concatenate(parts) if parts else np.empty((0, width), np.float32)
