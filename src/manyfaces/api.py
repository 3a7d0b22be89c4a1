"""The doors for Python: analyze, gallery, identify, verify. The command line goes through them too."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from os import PathLike, fspath
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from manyfaces.build import build_engine, build_enroller, build_reader, build_stages, nobody, refuse_other_network
from manyfaces.engine import Chain, Engine
from manyfaces.enrol import Choice, Enroller, Outcome, Register, Spellings, file_digest, import_folder, photos_by_person
from manyfaces.errors import EnrolmentRefused, GalleryError, InputError, ManyfacesError
from manyfaces.gallery.calibrate import FALSE_ACCEPT_RATE, calibrate, distributions
from manyfaces.gallery.calibration import Calibration
from manyfaces.gallery.falls import Fall, falls
from manyfaces.gallery.roster import Roster
from manyfaces.gallery.rules import DEFAULT, RULES, choose
from manyfaces.gallery.search import Search
from manyfaces.gallery.store import Consent, EnrolledFace, GalleryStore, Person, Purged
from manyfaces.options import NO_HOME, Options, default_gallery
from manyfaces.pipeline import Seen, Stages
from manyfaces.portraits import read_portraits
from manyfaces.prepare import Album, Cache
from manyfaces.prepare.doubts import Stray, Twins, unlikely
from manyfaces.recognizer import Recognizer as FedEngine
from manyfaces.sources import Patience, camera_number, expand, is_streaming, open_source, read_picture, shown
from manyfaces.stages import Source
from manyfaces.types import Embeddings, FrameResult, Pixels, Qualities, Unreadable

Name = str | PathLike[str]

FALSE_MATCH_RATE = 0.001
"""The share of pairs of different people that pass as one, unless another is chosen."""


def analyze(
    inputs: Name | Sequence[Name],
    options: Options | None = None,
    *,
    live: bool = False,
    max_frames: int | None = None,
) -> Iterator[FrameResult]:
    """Every face of pictures, folders, globs, videos, cameras or streams: one result per frame, in order.

    A generator: memory does not grow with the video, and closing it closes the input. An input that does not exist
    raises `InputError` at once; a frame that cannot be decoded, or an input that cannot be opened, gives a result with
    `error` set and no faces, and the rest goes on.

    Recorded inputs follow one another; cameras and streams all run beside them. `live` plays recordings at their own
    pace, as if they were cameras: when the reader is late, the newest frame is taken and the others are passed over.

        for result in mf.analyze("party.mp4"):
            for face in result.faces:
                print(face.track, face.emotion, face.identity)
    """
    several = [inputs] if isinstance(inputs, (str, PathLike)) else inputs
    names = expand([fspath(name) for name in several])
    return (result for _, result in look(names, options or Options(), live=live, max_frames=max_frames))


def look(
    names: Sequence[str], options: Options, *, live: bool = False, max_frames: int | None = None
) -> Iterator[Seen]:
    """Like `analyze`, of inputs that are already expanded, with each frame beside its result."""
    engine = Engine(*build_engine(options))
    return engine.run_chains(chains(names, live, max_frames))


def chains(names: Sequence[str], live: bool, max_frames: int | None) -> list[Chain]:
    """Who waits for whom: recorded inputs follow one another, while cameras and streams all go on at once."""
    closed = Event()
    patience = Patience(sleep=closed.wait)

    def chain(several: Sequence[str], newest: bool) -> Chain:
        return Chain((_readable(name, newest, max_frames, patience) for name in several), newest, closed.set)

    recorded = [name for name in names if not is_streaming(name)]
    chained = [chain(recorded, live)] if recorded else []
    # A camera cannot wait. A stream can, unless told otherwise: it may be a recording.
    at_once = [name for name in names if is_streaming(name)]
    return [*chained, *(chain([name], live or camera_number(name) is not None) for name in at_once)]


def _readable(name: str, live: bool, max_frames: int | None, patience: Patience) -> Source:
    """The frames of one input; one that cannot be opened is an unreadable frame, so that the others go on."""
    try:
        yield from open_source(name, live=live, max_frames=max_frames, patience=patience)
    except InputError as error:
        yield Unreadable(shown(name), 0, 0.0, str(error))


class Recognizer(FedEngine):
    """Feed and pull: pictures of any number of streams go in from any threads, batches of results come out in order.

        with mf.Recognizer() as recognizer:
            recognizer.feed(pictures, stream="door")       # returns when they are pre-processed; blocks while full
            results = recognizer.pull(stream="door")       # the results of one fed batch; waits, or timeout=

    Pictures are RGB arrays, as they come from a camera or a decoder.
    """

    def __init__(self, options: Options | None = None, *, buffers: int = 3, pictures_per_second: float = 25.0) -> None:
        stages, plan = build_engine(options or Options())
        super().__init__(stages, plan, buffers=buffers, pictures_per_second=pictures_per_second)


@dataclass(frozen=True, slots=True)
class NamedPicture:
    """A photo to enrol from: what to call it, the SHA-256 of its bytes, and how to get its pixels."""

    name: str
    digest: str
    read: Callable[[], Pixels]


class Gallery:
    """The people you have enrolled, in one file.

        gallery = mf.Gallery("people.db")
        gallery.add("Lan", ["lan1.jpg", "lan2.jpg"])
        for result in mf.analyze("party.jpg", mf.Options(gallery="people.db")): ...

    Without a path it is the default gallery of this user. Nothing is made before the first person is added.
    """

    def __init__(
        self, path: Name | None = None, options: Options | None = None, enroller: Enroller | None = None
    ) -> None:
        """`enroller` is for those who have the networks loaded already; else they are loaded when first needed."""
        self._store = GalleryStore(path or default_gallery())
        self._options = options or Options()
        self._given_enroller = enroller

    @property
    def path(self) -> Path:
        return self._store.path

    @cached_property
    def _enroller(self) -> Enroller:
        return self._given_enroller or build_enroller(self._options)

    def add(
        self,
        name: str,
        photos: Name | Iterable[Name],
        *,
        face: int | None = None,
        force: bool = False,
        consent: Consent | None = None,
    ) -> int:
        """Enrol one face of each photo under a name, new or known; how many were added.

        A photo that is not good enough, or that does not look like whom is enrolled under this name already, raises
        `EnrolmentRefused` with the reason and the figure; `force` takes it all the same. One that shows several faces
        needs `face`, counted from the left. What this person already has adds nothing.
        """
        several = [photos] if isinstance(photos, (str, PathLike)) else photos
        added = 0
        for _, became in self.add_each(name, several, face=face, force=force, consent=consent):
            if isinstance(became, ManyfacesError):
                raise became
            added += became
        return added

    def add_each(
        self,
        name: str,
        photos: Iterable[Name],
        *,
        face: int | None = None,
        force: bool = False,
        consent: Consent | None = None,
    ) -> Iterator[tuple[Name, int | GalleryError | InputError]]:
        """As `add`, photo by photo: how many faces it added, or why none. One that fails does not stop the others."""
        choice = Choice(face, force=force)
        # Who is new has nobody to look like: the photos given together are not compared with each other.
        enrolled = Roster.empty() if force else self._store.roster()
        spellings = Spellings(enrolled.names)
        for photo in photos:
            try:
                spellings.refuse_near(unicodedata.normalize("NFC", name))
                yield photo, self._add_photo(name, Path(photo), choice, consent, enrolled)
            except (GalleryError, InputError) as error:
                yield photo, error

    def add_pictures(
        self,
        name: str,
        pictures: Iterable[NamedPicture],
        *,
        face: int | None = None,
        force: bool = False,
        consent: Consent | None = None,
    ) -> Iterator[tuple[str, int | GalleryError | InputError]]:
        """As `add_each`, of photos that are no files: they came over a network, or from a camera."""
        choice = Choice(face, force=force)
        enrolled = Roster.empty() if force else self._store.roster()
        spellings = Spellings(enrolled.names)
        for picture in pictures:
            try:
                spellings.refuse_near(unicodedata.normalize("NFC", name))
                yield picture.name, self._add_picture(name, picture, choice, consent, enrolled)
            except (GalleryError, InputError) as error:
                yield picture.name, error

    def _add_photo(self, name: str, photo: Path, choice: Choice, consent: Consent | None, enrolled: Roster) -> int:
        picture = NamedPicture(str(photo), file_digest(photo), lambda: read_picture(photo))
        return self._add_picture(name, picture, choice, consent, enrolled)

    def _add_picture(
        self, name: str, picture: NamedPicture, choice: Choice, consent: Consent | None, enrolled: Roster
    ) -> int:
        self._make_folder()
        name = unicodedata.normalize("NFC", name)
        where = picture.name
        others = [other for other in self._store.holders(picture.digest) if other != name]
        if others and not choice.force:
            raise EnrolmentRefused(f"{where}: the same file is enrolled as {others[0]!r}; remove it there, or force it")
        found = self._enroller(picture.read(), where, choice)
        _refuse_unlike(name, found.embeddings, enrolled, where)
        return self._store.add(name, found.embeddings, found.qualities, where, picture.digest, consent)

    def import_folder(self, folder: Name, *, force: bool = False, consent: Consent | None = None) -> Iterator[Outcome]:
        """Enrol everybody of a folder that holds a folder of photos per person; one outcome per photo as it happens.
        The `consent` is everybody's, also of those who were enrolled from it before."""
        self._make_folder()
        refuse_other_network(self._store, self._options)
        register: Register = self._store if consent is None else _Consenting(self._store, consent)
        taken = [person.name for person in self._store.people()]
        outcomes = import_folder(Path(folder), self._enroller, read_picture, register, Choice(force=force), taken)
        return outcomes if consent is None else self._with_consent(outcomes, consent)

    def _with_consent(self, outcomes: Iterator[Outcome], consent: Consent) -> Iterator[Outcome]:
        """Write the consent down also for whom the import adds nothing to."""
        written: set[str] = set()
        for outcome in outcomes:
            if outcome.status == "duplicate" and outcome.name not in written:
                self._store.consent(outcome.name, consent)
            if outcome.status != "refused":
                written.add(outcome.name)
            yield outcome

    def _make_folder(self) -> None:
        """The default gallery lies in a folder that a fresh machine does not have yet."""
        if NO_HOME in self.path.parents:
            raise GalleryError(
                "this user has no home to keep people in; name a file with --gallery or MANYFACES_GALLERY"
            )
        if self.path == default_gallery():
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise GalleryError(f"{self.path.parent}: cannot be made ({error.strerror}); name a --gallery") from None

    def people(self) -> list[Person]:
        """Everybody, by name."""
        return self._store.people()

    def person(self, name: str) -> Person:
        return self._store.person(name)

    def faces(self, name: str) -> list[EnrolledFace]:
        """Where each enrolled face of a person came from and what it was worth."""
        return self._store.faces(name)

    def rename(self, old: str, new: str) -> None:
        """A name that reads like somebody else's is refused; another spelling of the person's own is not."""
        Spellings(person.name for person in self._store.people() if person.name != old).refuse_near(new, "")
        self._store.rename(old, new)

    def remove(self, name: str) -> int:
        """Forget a person with every trace, also what the cache keeps of the photos; how many faces went."""
        digests = {face.digest for face in self._store.faces(name)}
        removed = self._store.remove(name)
        Cache().forget_photos(digests)
        return removed

    def purge(self, *, older_than_days: float | None = None, everything: bool = False) -> Purged:
        """Forget whose consent has run out, what is older than so many days, or everybody, in the cache too."""
        age = None if older_than_days is None else timedelta(days=older_than_days)
        digests = self._store.digests()
        purged = self._store.purge(older_than=age, everything=everything)
        if purged.faces:
            Cache().forget_photos(digests - self._store.digests())
        return purged

    def export(self, names: Sequence[str] = (), *, vectors: bool = False) -> dict[str, Any]:
        """What is known of these people, or of everybody, as plain values for JSON."""
        return self._store.export(names, vectors=vectors)

    def calibrate(self, false_accept_rate: float = FALSE_ACCEPT_RATE) -> Calibration:
        """Compute and keep when a face gets a name, so that this share of strangers is given one. It is computed anew
        by itself when the gallery has changed; call this to choose another rate."""
        roster = self._store.roster()
        if not len(roster):
            raise GalleryError(
                f"{self.path}: nobody is enrolled yet, so there is nothing to calibrate; add people first"
            )
        refuse_other_network(self._store, self._options)
        calibration = calibrate(roster, false_accept_rate, rule=choose(roster).rule)
        self._store.save_calibration(calibration, roster.revision)
        return calibration

    def doubtful(self, names: Collection[str]) -> tuple[tuple[Stray, ...], tuple[Twins, ...]]:
        """Which of these people's enrolled faces seem to be somebody else's, and who of them looks like one with
        another; told from the vectors, so no photo is read again."""
        roster = self._store.roster()
        people = [roster.names[owner] for owner in roster.owners.tolist()]
        strays, twins = unlikely(roster.embeddings, people, np.arange(len(people)))
        return (
            tuple(stray for stray in strays if people[stray.place] in names),
            tuple(pair for pair in twins if pair.first in names or pair.second in names),
        )

    def falls(self, calibration: Calibration) -> tuple[Fall, ...]:
        """Where strangers and the gallery's own people fall, threshold by threshold, compared as calibrated."""
        measured = distributions(self._store.roster(), RULES.get(calibration.rule, DEFAULT))
        return falls(measured, calibration.false_accept_rate)


@dataclass(frozen=True, slots=True)
class _Consenting:
    """A gallery in which everybody who is enrolled has agreed to the same."""

    store: GalleryStore
    consent: Consent

    def holders(self, digest: str, /) -> tuple[str, ...]:
        return self.store.holders(digest)

    def add(self, name: str, embeddings: Embeddings, qualities: Qualities, source: str = "", digest: str = "") -> int:
        return self.store.add(name, embeddings, qualities, source, digest, self.consent)


def _refuse_unlike(name: str, face: Embeddings, enrolled: Roster, where: str) -> None:
    """A face that is not like the person's others is more often a mistake than a change: whoever it is would go by this
    name from then on.

    Of 74 photos of 5 people from the web this refuses 7 of 69 right ones and all wrong ones where one photo is enrolled
    of each, 2 of 54 right ones and 215 of 216 wrong ones where four are.
    """
    if name not in enrolled.names or face.model != enrolled.model:
        return
    known = enrolled.only(np.array([enrolled.names.index(name)]))
    if not len(known):
        return
    own = float((known.embeddings.vectors @ face.vectors[0]).max())
    found = Search(enrolled)(face)
    nearest, similarity = enrolled.names[found.people[0]], float(found.similarities[0])
    bar = _calibrated(face, FALSE_MATCH_RATE)
    if own < bar.threshold:
        fault = f"does not look like {name!r} as enrolled (similarity {own:.3f}, at least {bar.threshold:.3f} needed)"
    elif nearest != name and similarity - own >= bar.margin:
        fault = f"looks more like {nearest!r} (similarity {similarity:.3f}) than like {name!r} ({own:.3f})"
    else:
        return
    raise EnrolmentRefused(f"{where}: the face {fault}; use another photo, or force it (--force)")


def prepare(folder: Name, options: Options | None = None, *, cache: Cache | None = None) -> Album:
    """Everybody's faces from a folder that holds a folder of photos per person: cut, aligned, as vectors and judged,
    with copies grouped, and the photos that give none with the reason.

    What was read before comes from the `cache`: this user's own, unless another is given.
    """
    reader = build_reader(options or Options(), cache or Cache())
    return Album.of(reader.each(photos_by_person(Path(folder))))


def identify(picture: Name, options: Options | None = None) -> FrameResult:
    """Name every face of one picture from the gallery of the options; strangers have no name."""
    chosen = replace(options or Options(), emotion=False)
    (result,) = analyze(picture, chosen, max_frames=1)
    if result.error:
        raise InputError(result.error)
    return result


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether two pictures show the same person: the decision, the similarity and the threshold it was held to, and
    the probability of one person, where one and two were equally likely before."""

    same: bool
    similarity: float
    threshold: float
    probability: float


def verify(
    first: Name, second: Name, options: Options | None = None, *, false_accepts: float = FALSE_MATCH_RATE
) -> Verification:
    """Compare the main faces of two pictures. `false_accepts` is the share of different people that may pass as one."""
    stages = build_stages(replace(options or Options(), emotion=False), nobody)
    pictures = [(fspath(name), read_picture(Path(name))) for name in (first, second)]
    return compare(pictures, stages, false_accepts)


def compare(
    pictures: Sequence[tuple[str, Pixels]], stages: Stages, false_accepts: float = FALSE_MATCH_RATE
) -> Verification:
    """As `verify`, of two named pictures that are decoded and networks that are loaded already."""
    portraits = read_portraits(pictures, stages)
    if portraits.undetected:
        raise InputError(f"{portraits.undetected[0]}: no face found; use a picture that shows one bigger")
    return _compared(portraits.embeddings, false_accepts)


def _compared(pair: Embeddings, false_accepts: float) -> Verification:
    """The first face is a gallery of one, and the second asks whether it is in it."""
    calibration = _calibrated(pair[0:1], false_accepts)
    similarity = pair.vectors[1:] @ pair.vectors[0]
    nobody_else = np.full(1, -1, np.float32)
    return Verification(
        same=bool(calibration.accepts(similarity, nobody_else)[0]),
        similarity=float(similarity[0]),
        threshold=calibration.threshold,
        probability=float(calibration.probabilities(similarity, nobody_else)[0][0]),
    )


def _calibrated(face: Embeddings, false_accepts: float) -> Calibration:
    """When another face is the same person's as this one."""
    return calibrate(Roster(("first",), np.zeros(1, np.int64), face), false_accepts)
