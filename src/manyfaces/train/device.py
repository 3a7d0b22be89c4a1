"""What a training computes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_bf16(place: torch.device) -> bool:
    """Whether bfloat16 is multiplied in hardware: three times faster there, and slower where it is emulated."""
    if place.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able: Mapping[str, Any] = torch.cpu.get_capabilities()
    return bool(able.get("amx_bf16") or able.get("avx512_bf16"))
