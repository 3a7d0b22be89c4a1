"""Errors are one sentence a user can act on: what, where, what to do.

Everything that manyfaces raises on purpose is a `ManyfacesError`; anything else that escapes is a fault of ours.
"""

from __future__ import annotations


class ManyfacesError(Exception):
    """The base of every error raised on purpose. `str(error)` is the sentence to show."""


class InputError(ManyfacesError):
    """An input cannot be opened, read or understood."""


class OutputError(ManyfacesError):
    """A result cannot be written; what was written before stays valid."""


class UsageError(ManyfacesError):
    """An option or argument makes no sense, alone or with another."""


class WeightsError(ManyfacesError):
    """A model file is missing, is not the one its card describes, or cannot be run."""


class GalleryError(ManyfacesError):
    """The gallery cannot be opened, belongs to another model, or does not hold what was asked for."""


class EnrolmentRefused(GalleryError):
    """A photo is not good enough to enrol from; the message names the reason and the figure."""


class NoFace(EnrolmentRefused):
    """A photo shows no face."""


class SeveralFaces(EnrolmentRefused):
    """A photo shows several faces, and nothing says which is meant."""


class Busy(ManyfacesError):
    """Every buffer of a stream is taken by a batch that was not pulled yet."""


class NotYet(ManyfacesError, TimeoutError):
    """No batch was finished in the time given."""


class Stopped(ManyfacesError):
    """The recognizer was closed, or an error has ended it; the error itself is raised once, before this."""


class MissingExtra(ManyfacesError):
    """An optional part is not installed; the message names the extra that brings it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f"{what} needs an optional part: run  pip install '.[{extra}]'  where manyfaces was installed from"
        )
        self.extra = extra
