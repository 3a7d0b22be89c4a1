"""Any number of crops through a network, in batches small enough for the processor's cache."""

from __future__ import annotations

import numpy as np

from manyfaces.runtime import BATCH, Network
from manyfaces.types import Floats, Pixels


def in_batches(network: Network, pixels: Pixels, output: str, width: int, batch: int = BATCH) -> Floats:
    """The named output for every crop, (n, width), `batch` crops a call at most; no crops, no call."""
    parts = [network(pixels[start : start + batch])[output] for start in range(0, len(pixels), batch)]
    return np.concatenate(parts) if parts else np.empty((0, width), np.float32)
