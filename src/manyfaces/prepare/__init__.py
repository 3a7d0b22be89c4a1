"""From a folder of photos per person to an album: faces cut, embedded and judged, copies grouped, doubts named.

`Reader` reads photo by photo through a cache, `Album.of` gathers what it read. Knows only protocols: which detector and
which head, and how a file is decoded, is said by who builds the reader.
"""

from manyfaces.prepare.album import Album, Found, LeftOut, Photo, Reading, Refused, Why
from manyfaces.prepare.cache import Cache, Making
from manyfaces.prepare.reader import Reader

__all__ = [
    "Album",
    "Cache",
    "Found",
    "LeftOut",
    "Making",
    "Photo",
    "Reader",
    "Reading",
    "Refused",
    "Why",
]
