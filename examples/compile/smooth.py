"""Grey pictures blurred, again and again, in whole arrays: NumPy does all of the work, and that is compiled already.

Python only says four times a round which arrays to add. There is nothing here that compiling could make faster.
"""

from __future__ import annotations

import numpy as np


def picture(side: int) -> np.ndarray:
    row = np.arange(side, dtype=np.float64)
    return 127.5 + 60 * np.sin(row[:, None] / 9) * np.cos(row / 7)


def blurred(grey: np.ndarray, rounds: int) -> np.ndarray:
    """Each pixel becomes the mean of its four neighbours, `rounds` times."""
    for _ in range(rounds):
        edged = np.pad(grey, 1, mode="edge")
        grey = (edged[:-2, 1:-1] + edged[2:, 1:-1] + edged[1:-1, :-2] + edged[1:-1, 2:]) / 4
    return grey
