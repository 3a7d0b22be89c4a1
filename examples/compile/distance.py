"""How many letters two words differ by (Levenshtein): plain Python, written with no thought of compiling."""

from __future__ import annotations


def distance(first: str, second: str) -> int:
    """The least number of letters to put in, to take out or to change."""
    row = list(range(len(second) + 1))
    for number, letter in enumerate(first, 1):
        diagonal, row[0] = row[0], number
        for place, other in enumerate(second, 1):
            changed = diagonal + (letter != other)
            diagonal, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, changed)
    return row[-1]
