"""Names of people: stored as given, in one Unicode form, so that the same name typed on two systems is one person."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Sequence

from manyfaces.errors import EnrolmentRefused

LONGEST = 200


def checked(name: str) -> str:
    """The name in Unicode's composed form (NFC). Slashes, newlines and emoji are legal; blank and endless are not."""
    composed = unicodedata.normalize("NFC", name)
    if not composed.strip():
        raise EnrolmentRefused("a person needs a name; this one is empty or blank")
    if len(composed) > LONGEST:
        raise EnrolmentRefused(
            f"the name {composed[:20]!r}... has {len(composed)} characters; at most {LONGEST} are allowed"
        )
    if "\0" in composed or not _is_text(composed):
        raise EnrolmentRefused(
            f"the name {composed!r} holds bytes that are no text; rename the folder or give another name"
        )
    return composed


def _is_text(name: str) -> bool:
    """False for the stand-ins that Python uses where a file name is not valid in the system's encoding."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def unknown(name: str, known: Sequence[str]) -> str:
    """The sentence for a person who does not exist, with the names that are nearest."""
    if not known:
        return f"there is no person {name!r}: the gallery is empty"
    by_folded = {other.casefold(): other for other in known}
    near = [by_folded[match] for match in difflib.get_close_matches(name.casefold(), by_folded, n=3, cutoff=0.5)]
    if near:
        return f"there is no person {name!r}; did you mean {' or '.join(repr(other) for other in near)}?"
    return f"there is no person {name!r} among the {len(known)} in the gallery; see  manyfaces people list"
