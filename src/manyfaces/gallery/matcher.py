"""Names faces from a gallery: an `Identifier`."""

from __future__ import annotations

import numpy as np

from manyfaces.gallery.calibrate import up_to_date
from manyfaces.gallery.calibration import Calibration
from manyfaces.gallery.roster import Roster
from manyfaces.gallery.rules import NEAREST, RULES
from manyfaces.gallery.search import NOBODY, Search
from manyfaces.gallery.store import GalleryStore
from manyfaces.types import Embeddings, Identities


class Matcher:
    """Search and decision for one state of a gallery. Identity is open: who is not similar enough to anybody, or about
    as similar to a second person, has no name.

    The confidence of a name is the probability that it is right; of no name, the probability that this is a stranger.
    """

    def __init__(self, roster: Roster, calibration: Calibration) -> None:
        self.calibration = calibration
        self.revision = roster.revision
        self._search = Search(RULES.get(calibration.rule, NEAREST)(roster))

    @classmethod
    def of(cls, store: GalleryStore, false_accept_rate: float | None = None) -> Matcher:
        """A matcher for what the gallery holds now, calibrated for just that."""
        roster = store.roster()
        return cls(roster, up_to_date(store, roster, false_accept_rate))

    def __call__(self, embeddings: Embeddings, /) -> Identities:
        nearest = self._search(embeddings)
        if not len(nearest) or nearest.people[0] == NOBODY:
            return Identities.strangers(len(embeddings))
        named = self.calibration.accepts(nearest.similarities, nearest.runners_up)
        right, stranger = self.calibration.probabilities(nearest.similarities, nearest.runners_up)
        names = [self._search.names[person] for person in nearest.people]
        return Identities(
            tuple(name if yes else None for name, yes in zip(names, named, strict=True)),
            np.where(named, right, stranger),
            nearest.similarities,
        )
