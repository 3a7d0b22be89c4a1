"""Puts the parts together: the only file that names concrete classes.

From what a user chose (`Options`) to the stages that the pipeline and the engine run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from manyfaces.attention import Budget, Thrifty
from manyfaces.card import Task
from manyfaces.closer import Closer, as_seen, look_closer
from manyfaces.detect.haar import HaarCascade
from manyfaces.detect.yunet import Wanted, YuNet
from manyfaces.engine import Plan
from manyfaces.enrol import Enroller
from manyfaces.errors import GalleryError, WeightsError
from manyfaces.gallery.calibrate import FALSE_ACCEPT_RATE, calibrate
from manyfaces.gallery.matcher import Matcher
from manyfaces.gallery.roster import Roster
from manyfaces.gallery.rules import DEFAULT, Rule
from manyfaces.gallery.store import GalleryStore
from manyfaces.heads.emotion import EmotionHead
from manyfaces.heads.identity import IdentityHead
from manyfaces.options import Options
from manyfaces.pipeline import Stages, every_face
from manyfaces.plans import UNTUNED, TunedPlan, kept, way_for
from manyfaces.prepare import Cache, Making, Reader
from manyfaces.runtime import Network, Runtime, load_network
from manyfaces.sources import HeldPicture
from manyfaces.stages import Attention, Detector, Identifier
from manyfaces.track.linker import AppearanceLinker
from manyfaces.track.tracker import MotionTracker
from manyfaces.types import Embeddings, Identities
from manyfaces.weights import Weights, find, load


def build_engine(
    options: Options, identify: Identifier | None = None, tuned: TunedPlan | None = None
) -> tuple[Stages, Plan]:
    """What an engine is made of: its stages and how it spends the processor, both as this machine was tuned."""
    tuned = tuned or kept().plan
    return build_stages(options, identify, tuned.spending.callers, tuned), engine_plan(tuned)


def engine_plan(tuned: TunedPlan) -> Plan:
    spending = tuned.spending
    return Plan(workers=spending.workers, faces=spending.faces, pictures=spending.pictures)


def build_stages(
    options: Options, identify: Identifier | None = None, callers: int = 1, tuned: TunedPlan | None = None
) -> Stages:
    """Everything a pipeline needs, or, where `callers` threads may call a network at once, an engine. `identify` stands
    in for the gallery that the options name, `tuned` for the plan that this user keeps of this machine."""
    tuned = tuned or kept().plan
    detect = build_detector(options, callers, tuned)
    return Stages(
        detect=detect,
        new_tracker=MotionTracker,
        new_linker=AppearanceLinker,
        emotion=build_emotion_head(options, callers, tuned) if options.emotion else None,
        identity=build_identity_head(options, callers, tuned) if options.identity else None,
        identify=identify or build_identifier(options),
        new_attention=build_attention(options),
        closer=build_closer(detect),
    )


def build_closer(detect: Detector) -> Closer:
    """Haar cascades guess the landmarks from the box: looking again would guess the same."""
    return partial(look_closer, detect) if isinstance(detect, YuNet) else as_seen


def build_attention(options: Options) -> Callable[[int], Attention]:
    """Everything, or what a budget allows."""
    if options.every_face:
        return every_face
    return partial(Thrifty, Budget(emotions=options.emotion_rate))


def build_detector(options: Options, callers: int = 1, tuned: TunedPlan | None = None) -> Detector:
    if options.detector == "haar":
        return HaarCascade(options.min_face, options.max_face)
    wanted = Wanted(options.threshold, options.min_face, options.max_face)
    network, _ = _network(load("yunet"), options, callers, tuned)
    return YuNet(network, wanted)


def build_emotion_head(options: Options, callers: int = 1, tuned: TunedPlan | None = None) -> EmotionHead:
    weights = _load(options.emotion_network, "emotion")
    network, batch = _network(weights, options, callers, tuned)
    return EmotionHead(network, weights.card, batch)


def build_identity_head(options: Options, callers: int = 1, tuned: TunedPlan | None = None) -> IdentityHead:
    weights = _load(options.identity_network, "identity")
    network, batch = _network(weights, options, callers, tuned)
    return IdentityHead(network, weights.card.input, weights.card.identifier, batch)


def _load(name: str, task: Task) -> Weights:
    """The network, if it does what is asked."""
    weights = load(name)
    if weights.card.task != task:
        raise WeightsError(f"{name}: this network does {weights.card.task}, not {task}; give an {task} network")
    return weights


def _network(weights: Weights, options: Options, callers: int, tuned: TunedPlan | None) -> tuple[Network, int]:
    """The network in the way that was chosen or measured, and how many faces it takes at a time."""
    tuned = tuned or kept().plan
    way, twin = way_for(options, weights.card, tuned), None
    if way.precision == "int8":
        twin = quantised(weights)
        if way.quantised and (twin is None or twin.card.identifier != way.quantised):
            way = way_for(options, weights.card, UNTUNED)  # the twin that was measured is gone
    runtime = Runtime(way.backend, way.precision, options.threads or tuned.spending.threads, callers)
    return run_as(weights, twin, runtime), way.batch


def run_as(weights: Weights, twin: Weights | None, runtime: Runtime) -> Network:
    """The weights, or their int8 twin, ready to run; what goes in and what comes out is said by the one card."""
    if runtime.precision != "int8":
        return load_network(weights.content, weights.card.input, runtime)
    if twin is None:
        raise WeightsError(f"{twin_path(weights)}: there is no such quantised network; choose another precision")
    return load_network(twin.content, weights.card.input, runtime)


def quantised(weights: Weights) -> Weights | None:
    """The int8 twin of a network: a file with a card of its own that lies beside it."""
    path = twin_path(weights)
    return load(path) if path.exists() else None


def twin_path(weights: Weights) -> Path:
    return weights.path.with_suffix(".int8.onnx")


def build_identifier(options: Options) -> Identifier:
    """Names from the gallery. A gallery that was named must be there; the default one may not exist yet."""
    if not options.identity:
        return nobody
    store = GalleryStore(options.gallery_path, must_exist=options.gallery is not None)
    refuse_other_network(store, options)
    return Matcher.of(store)


def refuse_other_network(store: GalleryStore, options: Options) -> None:
    """Said before any photo is read, with the file: vectors of two networks do not compare."""
    made_with, model = store.model(), find(options.identity_network)[0].identifier
    if made_with and made_with != model:
        raise GalleryError(
            f"{store.path}: was made with {made_with}, not {model}, and the two do not compare; name that network "
            "(--identity-model), or enrol everybody anew, in a gallery of its own (--gallery)"
        )


def build_enroller(options: Options) -> Enroller:
    detect = build_detector(options)
    return Enroller(detect, build_identity_head(options), closer=build_closer(detect))


def build_reader(options: Options, cache: Cache | None = None) -> Reader:
    """Reads photos of people. The networks are loaded when a photo is met that the cache does not know."""
    return Reader(
        partial(build_enroller, options),
        lambda content, name: HeldPicture(content, name).decode(),
        _making(options),
        cache,
    )


def _making(options: Options) -> Making:
    """Another detector, another network or another way of running it is another reading."""
    tuned = kept().plan
    seen = [options.detector, options.threshold, options.min_face, options.max_face]
    if options.detector == "yunet":
        seen.append(way_for(options, find("yunet")[0], tuned))
    return Making(repr(seen), repr(way_for(options, find(options.identity_network)[0], tuned)))


def calibrated_identifier(
    embeddings: Embeddings,
    names: Sequence[str],
    false_accept_rate: float = FALSE_ACCEPT_RATE,
    rule: Rule = DEFAULT,
) -> Identifier:
    """A gallery of these faces that lives only in memory, calibrated as one on disk would be."""
    people, owners = np.unique(np.array(names), return_inverse=True)
    order = np.argsort(owners, kind="stable")
    roster = Roster(tuple(people.tolist()), owners[order].astype(np.int64), embeddings[order], revision=0)
    return Matcher(roster, calibrate(roster, false_accept_rate, rule=rule))


def nobody(embeddings: Embeddings) -> Identities:
    """An `Identifier` that knows nobody."""
    return Identities.strangers(len(embeddings))
