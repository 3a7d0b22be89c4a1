"""Puts the parts together: the only file that names concrete classes.

From what a user chose (`Options`) to the stages that the pipeline and the engine run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from manyfaces.attention import Budget, Thrifty
from manyfaces.detect.haar import HaarCascade
from manyfaces.detect.yunet import Wanted, YuNet
from manyfaces.enrol import Enroller
from manyfaces.errors import WeightsError
from manyfaces.gallery.calibrate import calibrate
from manyfaces.gallery.matcher import Matcher
from manyfaces.gallery.roster import Roster
from manyfaces.gallery.store import GalleryStore
from manyfaces.heads.emotion import EmotionHead
from manyfaces.heads.identity import IdentityHead
from manyfaces.options import Options
from manyfaces.pipeline import Stages, every_face
from manyfaces.runtime import Network, Runtime, load_network
from manyfaces.stages import Attention, Detector, Identifier
from manyfaces.track.linker import AppearanceLinker
from manyfaces.track.tracker import MotionTracker
from manyfaces.types import Embeddings, Identities
from manyfaces.weights import Weights, load


def build_stages(options: Options, identify: Identifier | None = None, callers: int = 1) -> Stages:
    """Everything a pipeline or, with as many `callers` as it has workers, an engine needs. `identify` stands in for the
    gallery that the options name."""
    return Stages(
        detect=build_detector(options, callers),
        new_tracker=MotionTracker,
        new_linker=AppearanceLinker,
        emotion=build_emotion_head(options, callers) if options.emotion else None,
        identity=build_identity_head(options, callers) if options.identity else None,
        identify=identify or build_identifier(options),
        new_attention=build_attention(options),
    )


def build_attention(options: Options) -> Callable[[int], Attention]:
    """Everything, or what a budget allows."""
    if options.every_face:
        return every_face
    return partial(Thrifty, Budget(emotions=options.emotion_rate))


def build_detector(options: Options, callers: int = 1) -> Detector:
    if options.detector == "haar":
        return HaarCascade(options.min_face, options.max_face)
    wanted = Wanted(options.threshold, options.min_face, options.max_face)
    return YuNet(_network(load("yunet"), options, callers), wanted)


def build_emotion_head(options: Options, callers: int = 1) -> EmotionHead:
    name = "emotion" if options.emotion_model == "default" else options.emotion_model
    weights = load(name)
    if weights.card.task != "emotion":
        raise WeightsError(f"{name}: this network does {weights.card.task}, not emotion; give an emotion network")
    return EmotionHead(_network(weights, options, callers), weights.card)


def build_identity_head(options: Options, callers: int = 1) -> IdentityHead:
    weights = load("sface")
    return IdentityHead(_network(weights, options, callers), weights.card.input, weights.card.identifier)


def _network(weights: Weights, options: Options, callers: int) -> Network:
    runtime = Runtime(options.runtime, options.precision, options.threads, callers)
    return load_network(weights.content, weights.card.input, runtime)


def build_identifier(options: Options) -> Identifier:
    """Names from the gallery. A gallery that was named must be there; the default one may not exist yet."""
    if not options.identity:
        return nobody
    return Matcher.of(GalleryStore(options.gallery_path, must_exist=options.gallery is not None))


def build_enroller(options: Options) -> Enroller:
    return Enroller(build_detector(options), build_identity_head(options))


def calibrated_identifier(embeddings: Embeddings, names: Sequence[str]) -> Identifier:
    """A gallery of these faces that lives only in memory, calibrated as one on disk would be."""
    people, owners = np.unique(np.array(names), return_inverse=True)
    order = np.argsort(owners, kind="stable")
    roster = Roster(tuple(people.tolist()), owners[order].astype(np.int64), embeddings[order], revision=0)
    return Matcher(roster, calibrate(roster))


def nobody(embeddings: Embeddings) -> Identities:
    """An `Identifier` that knows nobody."""
    return Identities.strangers(len(embeddings))
