"""Puts the parts together: the only file that names concrete classes.

From what a user chose (`Options`) to the stages that the pipeline and the engine run.
"""

from __future__ import annotations

from manyfaces.detect.haar import HaarCascade
from manyfaces.detect.yunet import Wanted, YuNet
from manyfaces.errors import WeightsError
from manyfaces.heads.emotion import EmotionHead
from manyfaces.heads.identity import IdentityHead
from manyfaces.options import Options
from manyfaces.pipeline import Stages
from manyfaces.runtime import Network, Runtime, load_network
from manyfaces.stages import Detector, Identifier
from manyfaces.track.linker import AppearanceLinker
from manyfaces.track.tracker import MotionTracker
from manyfaces.types import Embeddings, Identities
from manyfaces.weights import Weights, load


def build_stages(options: Options, identify: Identifier | None = None) -> Stages:
    """Everything a pipeline needs. `identify` stands in for the gallery that the options name."""
    return Stages(
        detect=build_detector(options),
        new_tracker=MotionTracker,
        new_linker=AppearanceLinker,
        emotion=build_emotion_head(options) if options.emotion else None,
        identity=build_identity_head(options) if options.identity else None,
        identify=identify or _strangers,
    )


def build_detector(options: Options) -> Detector:
    if options.detector == "haar":
        return HaarCascade(options.min_face, options.max_face)
    wanted = Wanted(options.threshold, options.min_face, options.max_face)
    return YuNet(_network(load("yunet"), options), wanted)


def build_emotion_head(options: Options) -> EmotionHead:
    name = "emotion" if options.emotion_model == "default" else options.emotion_model
    weights = load(name)
    if weights.card.task != "emotion":
        raise WeightsError(f"{name}: this network does {weights.card.task}, not emotion; give an emotion network")
    return EmotionHead(_network(weights, options), weights.card)


def build_identity_head(options: Options) -> IdentityHead:
    weights = load("sface")
    return IdentityHead(_network(weights, options), weights.card.input, weights.identifier)


def _network(weights: Weights, options: Options) -> Network:
    return load_network(
        weights.content, weights.card.input, Runtime(options.runtime, options.precision, options.threads)
    )


def _strangers(embeddings: Embeddings) -> Identities:
    return Identities.strangers(len(embeddings))
