"""Computes, for one gallery, when to give a name and how probable it is that the name is right.

Every enrolled face is a stranger to all other people, and a test of its own person: compared with everybody else it
shows how alike strangers come, compared with the rest of its person how alike one person stays.

A stranger is accepted if any of N people is too similar, so the threshold follows the maximum over people: with F the
distribution of a stranger's similarity to one person, F(t) ** N = 1 - rate. F is taken as normal, which fits SFace's
similarities up to the last thousandth and, unlike the largest values seen, does not hang on single pairs
(docs/decisions/0004 has the comparison).
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from manyfaces.errors import UsageError
from manyfaces.gallery.background import Background, Spread
from manyfaces.gallery.calibration import Basis, Calibration
from manyfaces.gallery.roster import Roster
from manyfaces.gallery.rules import DEFAULT, NEAREST, RULES, Rule, fitting
from manyfaces.gallery.search import Search
from manyfaces.gallery.store import GalleryStore
from manyfaces.types import Floats

FALSE_ACCEPT_RATE = 0.01
PRIOR = 0.5
"""How many of the faces one meets belong to enrolled people. Nobody knows; a half favours neither answer."""

ENOUGH_PAIRS = 15
"""Pairs of people at which the gallery's own figures weigh as much as the shipped ones."""

ENOUGH_PEOPLE = 10
"""The same for the people with several photos, who tell how alike one person stays."""

PROBES = 2000
"""More faces than these are sampled: the figures stop changing and a product of all with all would take minutes."""

MOST_PEOPLE = 5000
"""Of more people these are compared, evenly spread: half a million pairs tell the same as billions, and all of them
would take a gigabyte and a minute."""

STEPS = 200
"""Into how many equal parts the distribution of strangers is cut for fitting the probability."""

DOUBT = 0.00025
"""How far from certain the targets of the fit stay. Chosen among 0.0025, 0.00025 and 0.000025: with the first the
probabilities were too timid (0.86 where 0.95 came true), with the last the slope jumped from gallery to gallery."""

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What the gallery's own faces say: impostor and genuine similarities, how many people there are and how many with
    several photos, pairs of people too alike to be two, and whether the shipped figures are of another model."""

    impostor: Floats
    genuine: Floats
    people: int
    several: int
    suspects: int
    foreign: bool


def calibrate(
    roster: Roster,
    false_accept_rate: float = FALSE_ACCEPT_RATE,
    prior: float = PRIOR,
    background: Background | None = None,
    rule: Rule = DEFAULT,
) -> Calibration:
    """The calibration of this gallery, from its own faces as far as they reach, from the shipped figures otherwise."""
    _check_rate("false-accept rate", false_accept_rate)
    _check_rate("prior", prior)
    measured = distributions(roster, rule, background)
    slope, offset = _fit(measured.worst, measured.genuine, measured.weights)
    return Calibration(
        threshold=measured.worst.at(1 - false_accept_rate),
        margin=float(np.log((1 - false_accept_rate) / false_accept_rate) / slope),
        slope=slope,
        offset=offset + float(np.log(prior / (1 - prior))),
        false_accept_rate=false_accept_rate,
        prior=prior,
        people=measured.worst.people,
        faces=len(roster),
        basis=_basis(measured.evidence),
        model=roster.model,
        suspects=measured.evidence.suspects,
        rule=fitting(rule, roster).name,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Distributions:
    """How alike a stranger and the most similar person are, and how alike people's own photos and their weights."""

    worst: Worst
    genuine: Doubles
    weights: Doubles
    evidence: Evidence


def distributions(roster: Roster, rule: Rule = DEFAULT, background: Background | None = None) -> Distributions:
    """What a gallery's faces and, as far as these do not reach, the shipped figures say, compared by this rule."""
    rule = fitting(rule, roster)
    background = background or Background.shipped(rule.name)
    people = max(len(np.unique(roster.owners)), 1)
    typical = _typical_faces(roster)
    foreign = bool(len(roster)) and roster.model != background.model
    evidence = measure(roster, np.inf if foreign else _implausible(background), foreign, rule)
    strangers = _blended_strangers(evidence, background.strangers(typical))
    return Distributions(Worst(strangers, people), *_blended_genuine(evidence, background.same(typical)), evidence)


def up_to_date(store: GalleryStore, roster: Roster, false_accept_rate: float | None = None) -> Calibration:
    """The stored calibration if it was made for just these faces and this rate; else a new one.

    The new one is computed for the rate asked for, or the one chosen before. It is not saved: looking at a gallery must
    work where one may not write.
    """
    stored = store.calibration()
    rate = false_accept_rate if false_accept_rate is not None else store.false_accept_rate()
    rate = FALSE_ACCEPT_RATE if rate is None else rate
    rule = RULES.get(stored[0].rule, DEFAULT) if stored else DEFAULT
    fits = stored and stored[1] == roster.revision and stored[0].rule == fitting(rule, roster).name
    if stored and fits and stored[0].false_accept_rate == rate:
        return stored[0]
    return calibrate(roster, rate, rule=rule)


def measure(roster: Roster, implausible: float = np.inf, foreign: bool = False, rule: Rule = NEAREST) -> Evidence:
    """Compare (a sample of) the enrolled faces with each other. Strangers more alike than `implausible` are left out:
    one person under two names, or one photo in the wrong folder, would lift the threshold above everybody."""
    roster = _fewer_people(roster)
    chosen = _sample(len(roster))
    owners = roster.owners[chosen]
    people, faces_each = np.unique(roster.owners, return_counts=True)
    if not len(people):
        return Evidence(np.empty(0, np.float32), np.empty(0, np.float32), 0, 0, 0, foreign)
    vectors = roster.embeddings.vectors[chosen]
    others = Search(rule(roster)).of_people(vectors) if len(people) > 1 else np.empty((len(chosen), 1), np.float32)
    own = owners[:, None] == people[None, :]
    impostor = others[~own]
    too_alike = (others >= implausible) & ~own
    pairs = {frozenset((int(owners[row]), int(people[column]))) for row, column in np.argwhere(too_alike)}
    genuine = _like_own(roster, chosen, rule)
    several = int((faces_each > 1).sum())
    return Evidence(impostor[impostor < implausible], genuine, len(people), several, len(pairs), foreign)


def _like_own(roster: Roster, chosen: npt.NDArray[np.int64], rule: Rule) -> Floats:
    """Each chosen face against the other faces of its person; people with one photo say nothing."""
    likeness = []
    vectors, owners = roster.embeddings.vectors, roster.owners
    for owner in np.unique(owners[chosen]):
        start, end = np.searchsorted(owners, [owner, owner + 1])
        rows = chosen[owners[chosen] == owner]
        if end - start > 1:
            likeness.append(rule.without_itself(vectors[start:end], rows - start))
    return np.concatenate(likeness) if likeness else np.empty(0, np.float32)


def _fewer_people(roster: Roster) -> Roster:
    people = np.unique(roster.owners)
    if len(people) <= MOST_PEOPLE:
        return roster
    return roster.only(people[np.linspace(0, len(people) - 1, MOST_PEOPLE).astype(np.int64)])


def _sample(count: int) -> npt.NDArray[np.int64]:
    """Evenly spread over the gallery, so that the same gallery gives the same calibration."""
    return np.unique(np.linspace(0, count - 1, min(count, PROBES)).astype(np.int64)) if count else np.empty(0, np.int64)


def _typical_faces(roster: Roster) -> float:
    counts = np.unique(roster.owners, return_counts=True)[1]
    return float(np.exp(np.log(counts).mean())) if len(counts) else 1.0


def _implausible(background: Background) -> float:
    """Nine in ten pairs of photos of one person are more alike than this, and no pair of strangers was."""
    single = background.same(1)
    return float(np.interp(0.1, single.at, single.quantiles))


def _weights(evidence: Evidence) -> tuple[float, float]:
    """How much the gallery's own impostors and genuine pairs count against the shipped ones, 0 to 1.

    The shipped ones say little of another model, so there anything of the gallery's own counts alone.
    """
    pairs = evidence.people * (evidence.people - 1) / 2 if len(evidence.impostor) > 1 else 0
    if evidence.foreign:
        return float(pairs > 0), float(evidence.several > 0)
    return pairs / (pairs + ENOUGH_PAIRS), evidence.several / (evidence.several + ENOUGH_PEOPLE)


def _basis(evidence: Evidence) -> Basis:
    least, most = min(_weights(evidence)), max(_weights(evidence))
    if most == 0:
        return "shipped"
    return "gallery" if least >= 0.8 else "both"


def _blended_strangers(evidence: Evidence, shipped: Spread) -> NormalDist:
    """One normal distribution with the moments of the mixture; where the two disagree, it is the wider for it."""
    weight, _ = _weights(evidence)
    if weight == 0:
        return NormalDist(shipped.mean, shipped.deviation)
    own = NormalDist(float(evidence.impostor.mean()), float(evidence.impostor.std()) * _widening(evidence))
    mean = weight * own.mean + (1 - weight) * shipped.mean
    spread = weight * (own.variance + (own.mean - mean) ** 2)
    spread += (1 - weight) * (shipped.deviation**2 + (shipped.mean - mean) ** 2)
    return NormalDist(mean, max(float(np.sqrt(spread)), 1e-3))


def _widening(evidence: Evidence) -> float:
    """A few pairs tell their own spread badly, so one must expect more: about the ratio of Student's to the normal
    distribution where the threshold lies."""
    pairs = evidence.people * (evidence.people - 1) / 2
    return 1 + 2 / max(pairs, 1)


def _blended_genuine(evidence: Evidence, shipped: Spread) -> tuple[Doubles, Doubles]:
    """Similarities of one person and their weights, which sum to one."""
    _, weight = _weights(evidence)
    middles = (np.arange(STEPS) + 0.5) / STEPS
    table = np.interp(middles, shipped.at, shipped.quantiles)
    values = np.concatenate([table, evidence.genuine.astype(np.float64)])
    own = np.full(len(evidence.genuine), weight / max(len(evidence.genuine), 1))
    return values, np.concatenate([np.full(STEPS, (1 - weight) / STEPS), own])


@dataclass(frozen=True, slots=True)
class Worst:
    """The largest of a stranger's similarities to `people` people."""

    one: NormalDist
    people: int

    def at(self, probability: float) -> float:
        """The similarity below which it stays with this probability."""
        return self.one.inv_cdf(probability ** (1 / self.people))

    def without_one(self, similarity: float) -> float:
        """How probably all people but one are less similar than this."""
        return self.one.cdf(similarity) ** (self.people - 1)


def _fit(worst: Worst, genuine: Doubles, weights: Doubles) -> tuple[float, float]:
    """Platt's logistic regression of "the right person" against "a stranger's best", both equally frequent.

    Newton's method on two parameters. The targets stop short of 0 and 1, as in Platt (1999), so that classes that do
    not touch give a steep curve instead of an endless one. A face that is less like its own person than others are by
    chance never shows as that person, so it hardly counts.
    """
    weights = weights * np.array([worst.without_one(float(value)) for value in genuine])
    stranger = np.array([worst.at((step + 0.5) / STEPS) for step in range(STEPS)])
    x = np.concatenate([genuine, stranger])
    weight = np.concatenate([weights, np.full(STEPS, 1 / STEPS)])
    target = np.concatenate([np.full(len(genuine), 1 - DOUBT), np.full(STEPS, DOUBT)])
    return _newton(x, weight, target)


def _newton(x: Doubles, weight: Doubles, target: Doubles) -> tuple[float, float]:
    """Minimise the weighted cross-entropy of sigmoid(slope * x + offset); steps that do not help are halved."""
    columns = np.stack([x, np.ones_like(x)], axis=1)
    parameters = np.array([10.0, -10.0 * float(x.mean())])
    loss = _loss(columns @ parameters, weight, target)
    for _ in range(100):
        odds = columns @ parameters
        probability = 1 / (1 + np.exp(-odds))
        gradient = columns.T @ (weight * (probability - target))
        curvature = (columns * (weight * probability * (1 - probability))[:, None]).T @ columns
        step = np.linalg.solve(curvature + 1e-9 * np.eye(2), gradient)
        while _loss(columns @ (parameters - step), weight, target) > loss and np.abs(step).max() > 1e-9:
            step = step / 2
        parameters = parameters - step
        loss = _loss(columns @ parameters, weight, target)
        if np.abs(step).max() < 1e-7:
            break
    return max(float(parameters[0]), 1.0), float(parameters[1])


def _loss(odds: Doubles, weight: Doubles, target: Doubles) -> float:
    return float((weight * (np.logaddexp(0, odds) - target * odds)).sum())


def _check_rate(what: str, value: float) -> None:
    if not 0 < value < 1:
        raise UsageError(f"{what} {value}: must lie between 0 and 1, for example 0.01")
