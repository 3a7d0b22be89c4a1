"""The architecture search: what may be drawn, what is kept of a trial, what stops one, and how it goes on."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import Run

torch = pytest.importorskip("torch", reason="training needs the extra manyfaces[train]")
optuna = pytest.importorskip("optuna", reason="searching needs the extra manyfaces[train]")
pytest.importorskip("onnxscript", reason="writing ONNX needs the extra manyfaces[train]")

from manyfaces.errors import InputError, UsageError  # noqa: E402  (only where torch is)
from manyfaces.train import spaces  # noqa: E402
from manyfaces.train.data import EmotionData, read_emotion_data  # noqa: E402
from manyfaces.train.designs import Design, Genotype, Residual, design_from_dict, design_hash  # noqa: E402
from manyfaces.train.fit import Progress  # noqa: E402
from manyfaces.train.front import plot_front  # noqa: E402
from manyfaces.train.nets import EmotionNet, build, shipped_parameters  # noqa: E402
from manyfaces.train.plan import Plan  # noqa: E402
from manyfaces.train.recipe import Recipe, read_recipe  # noqa: E402
from manyfaces.train.search import PEERS, Machine, Wanted, middle_of_peers, search  # noqa: E402
from manyfaces.train.spaces import Space, described, draw_genotype, draw_residual, find_space  # noqa: E402
from manyfaces.train.study import Record, front, records, sampler, shown  # noqa: E402
from manyfaces.types import Pixels  # noqa: E402

TINY = Recipe(design=Residual(), plan=Plan(epochs=1, batch=7, rate=0.02))
STEMS = tuple(range(4, 24))


def draw_tiny(trial: optuna.trial.BaseTrial) -> Residual:
    dropout = trial.suggest_float("dropout", 0, 0.5)
    return Residual(stem=trial.suggest_categorical("stem", STEMS), widths=(8,), depths=(1,), dropout=dropout)


def draw_one(trial: optuna.trial.BaseTrial) -> Residual:
    return Residual(stem=trial.suggest_categorical("stem", (4,)), widths=(8,), depths=(1,))


def draw_broken(trial: optuna.trial.BaseTrial) -> Residual:
    """Every other draw halves its pictures until nothing is left."""
    deep = Residual(stem=4, widths=(4,) * 5, depths=(1,) * 5, dropout=trial.number / 100, side=16)
    return deep if trial.number % 2 else draw_tiny(trial)


@pytest.fixture(autouse=True)
def _tiny_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = replace(TINY, plan=replace(TINY.plan, rate=1e30))
    for space in (
        Space("tiny", draw_tiny, TINY, is_random=True, epochs=1),
        Space("one", draw_one, TINY, is_random=True, epochs=1),
        Space("broken", draw_broken, TINY, is_random=True, epochs=1),
        Space("lost", draw_tiny, lost, is_random=True, epochs=2),
    ):
        monkeypatch.setitem(spaces.SPACES, space.name, space)  # type: ignore[arg-type]


@pytest.fixture
def faces_file(tmp_path: Path) -> Path:
    """Noise whose brightness is its label, 21 pictures to learn and 7 to select on."""
    random = np.random.default_rng(0)
    labels = np.tile(np.arange(7), 4)
    images = random.integers(0, 40, (28, 48, 48)) + labels[:, None, None] * 30
    path = tmp_path / "faces.npz"
    np.savez(path, images=images.astype(np.uint8), labels=labels, usage=np.repeat([0, 1], [21, 7]))
    return path


@pytest.fixture
def faces(faces_file: Path) -> EmotionData:
    return read_emotion_data(faces_file)


class Quiet:
    """Watches; `stop_at` raises where training is, as Ctrl-C does."""

    def __init__(self, stop_at: int = -1, how: type[BaseException] = KeyboardInterrupt) -> None:
        self._stop_at, self._how = stop_at, how
        self.epochs: list[tuple[int, float]] = []

    def begun(self, number: int, design: Design, milliseconds: float, /) -> None:
        assert milliseconds > 0
        assert described(design)
        self.number = number

    def told(self, progress: Progress, /) -> None:
        if progress.figures:
            self.epochs.append((self.number, progress.epoch))
        elif len(self.epochs) == self._stop_at:
            raise self._how

    def ended(self, record: Record, /) -> None:
        assert record.state != "running"


def by_size(network: EmotionNet, design: Design) -> float:
    """A machine whose time is the network's size: the tests need no stopwatch."""
    return shipped_parameters(network) / 1000


MACHINE = Machine("a test", by_size)
Search = Callable[..., list[Record]]


@pytest.fixture
def searched(faces: EmotionData, tmp_path: Path) -> Search:
    def run(trials: int = 1, space: str | None = "tiny", **more: object) -> list[Record]:
        watch = more.pop("watch", Quiet())
        found = more.pop("faces", faces)
        wanted = Wanted(trials, space, **more)  # type: ignore[arg-type]
        search(str(tmp_path / "study.db"), found, tmp_path, wanted, MACHINE, watch)  # type: ignore[arg-type]
        return records(str(tmp_path / "study.db"))

    return run


def ledger(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]


# --- spaces ----------------------------------------------------------------------------------------------------------


def drawn(draw: Callable[[optuna.trial.BaseTrial], Design], count: int) -> Iterator[Design]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    yield from (draw(study.ask()) for _ in range(count))


def test_every_design_of_the_tutorials_space_is_one_of_theirs() -> None:
    designs = list(drawn(draw_genotype, 300))
    modules = [module for design in designs if isinstance(design, Genotype) for module in design.modules]
    assert {design.stem for design in designs if isinstance(design, Genotype)} == {8}
    assert {len(design.modules) for design in designs if isinstance(design, Genotype)} == set(range(2, 9))
    assert {design.pooling for design in designs if isinstance(design, Genotype)} == {"mean", "max"}
    assert {design.side for design in designs} == {48}
    assert {module.filters for module in modules} == set(range(16, 57, 8))
    assert {module.kernel for module in modules} == {3, 5, 7}
    assert {module.stride for module in modules} == {1, 2}
    assert {module.dropout for module in modules} == {0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6}
    named = "softmax elu selu softplus softsign relu tanh sigmoid linear"
    assert {module.activation for module in modules} == set(named.split())
    places = {(module.bias, module.norm_before, module.norm_after) for module in modules}
    assert len(places) == 8


def test_every_design_of_the_tutorials_space_answers() -> None:
    for design in drawn(draw_genotype, 12):
        with torch.no_grad():
            emotions, votes = build(design).eval()(torch.randn(2, 1, 48, 48))
        assert (emotions.shape, votes.shape) == ((2, 7), (2, 10))


def test_compact_designs_widen_on_their_way_and_answer() -> None:
    designs = [design for design in drawn(draw_residual, 200) if isinstance(design, Residual)]
    assert {len(design.widths) for design in designs} == {3, 4}
    for design in designs:
        assert list(design.widths) == sorted(design.widths)
        assert all(width % spaces.LANES == 0 for width in design.widths)
        assert len(design.depths) == len(design.widths)
    with torch.no_grad():
        assert build(designs[0]).eval()(torch.randn(1, 1, 48, 48)).emotions.shape == (1, 7)


def test_a_design_is_told_in_a_few_words() -> None:
    design = next(drawn(draw_genotype, 1))
    assert isinstance(design, Genotype)
    assert str(design.modules[0].filters) in described(design)
    assert described(Residual(squeeze=True)) == "stem 32, 1x64, 1x128, 1x192, squeeze, dropout 0.2"


def test_a_trial_is_trained_as_its_space_says() -> None:
    recipe = find_space("tutorial").recipe_of(Residual(), epochs=3, seed=5)
    assert (recipe.plan.method, recipe.plan.epochs, recipe.plan.seed) == ("adam", 3, 5)
    with pytest.raises(UsageError, match="space 'outer': there is no such space; known are compact, tutorial"):
        find_space("outer")


@pytest.mark.parametrize("wrong", [{"trials": 0}, {"epochs": 0}, {"max_ms": 0.0}, {"max_ms": math.nan}, {"space": "x"}])
def test_what_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Wanted(**({"trials": 1} | wrong))  # type: ignore[arg-type]


@pytest.mark.parametrize("is_random", [True, False])
def test_a_trial_is_drawn_by_its_number_whoever_draws_it(is_random: bool) -> None:
    """Three trials in one go, and the last again by a program that has just begun."""

    def stems(study: optuna.Study, count: int) -> list[int]:
        study.sampler = sampler(is_random, 7)
        return [draw_tiny(study.ask()).stem for _ in range(count)]

    whole, parted = (optuna.create_study(directions=["maximize", "minimize"]) for _ in range(2))
    together = stems(whole, 5)
    assert stems(parted, 2) + stems(parted, 3) == together
    assert len(set(together)) > 1


# --- trials ----------------------------------------------------------------------------------------------------------


def test_a_trial_can_be_rebuilt_from_the_ledger(searched: Search, tmp_path: Path) -> None:
    searched(2, epochs=2)
    for row in ledger(tmp_path):
        assert (row["state"], row["reason"], row["epochs"], row["seed"]) == ("complete", "", 2, 0)
        design = design_from_dict(row["design"])  # type: ignore[arg-type]
        assert design_hash(design) == row["design_hash"]
        assert shipped_parameters(build(design)) == row["parameters"]
        assert row["milliseconds"] == row["parameters"] / 1000  # type: ignore[operator]
        assert row["accuracy"] == max(row["accuracies"])  # type: ignore[call-overload]
        assert row["processor"] == "a test"
        assert row["versions"].keys() >= {"manyfaces", "torch"}  # type: ignore[attr-defined]
        recipe = read_recipe(tmp_path / f"trial-{row['number']:04d}" / "recipe.json")
        assert recipe == replace(TINY, design=design).with_epochs(2)


def test_a_trial_trained_again_reaches_what_it_reached(searched: Search, tmp_path: Path, faces: EmotionData) -> None:
    from manyfaces.train.emotion import EmotionLesson
    from manyfaces.train.fit import fit

    (one,) = searched(epochs=2)
    recipe = read_recipe(tmp_path / "trial-0000" / "recipe.json")
    torch.manual_seed(recipe.plan.seed)
    log = fit(build(recipe.design), EmotionLesson(faces, recipe), recipe.plan, tmp_path / "again")
    assert [row["accuracy"] for row in log] == list(one.accuracies)


def test_the_same_design_is_not_tried_twice(searched: Search, tmp_path: Path) -> None:
    first, *others = searched(3, "one")
    assert first.state == "complete"
    assert [(one.state, one.reason) for one in others] == [
        ("pruned", "duplicate: trial 0 has the same design"),
    ] * 2
    assert [path.name for path in sorted(tmp_path.glob("trial-*"))] == ["trial-0000"]


def test_slow_designs_are_refused_before_training(searched: Search, tmp_path: Path) -> None:
    watch = Quiet()
    (one,) = searched(max_ms=0.001, watch=watch)
    assert one.state == "pruned"
    assert one.reason.startswith("too slow: ")
    assert (watch.epochs, one.accuracies) == ([], ())
    assert not list(tmp_path.glob("trial-*"))


def test_broken_draws_are_recorded_and_the_search_goes_on(searched: Search) -> None:
    found = searched(4, "broken")
    assert [one.state for one in found] == ["complete", "failed", "complete", "failed"]
    assert found[1].reason.startswith("broken: RuntimeError: ")
    assert "too small" in found[1].reason
    assert design_from_dict(found[1].design)


def test_loss_that_is_no_number_is_recorded(searched: Search, tmp_path: Path) -> None:
    (one,) = searched(space="lost")
    assert one.state == "failed"
    assert one.reason.startswith("broken: Diverged: the loss is no number any more in epoch 1")
    assert not list(tmp_path.glob("trial-*"))


def known(number: int, accuracies: tuple[float, ...], milliseconds: float, state: str = "complete") -> Record:
    return Record(number, state, accuracies=accuracies, milliseconds=milliseconds)


def test_a_trial_is_compared_with_those_that_are_no_slower() -> None:
    quick = [known(number, (0.1 * number, 0.2 * number), 1.0) for number in range(PEERS)]
    slow = [known(9, (0.9, 0.9), 5.0)]
    assert middle_of_peers(quick + slow, 1, 2.0) == pytest.approx(0.15)
    assert middle_of_peers(quick + slow, 2, 2.0) == pytest.approx(0.3)
    assert middle_of_peers(quick + slow, 1, 5.0) == pytest.approx(0.2)
    assert middle_of_peers(quick + slow, 1, 0.5) == -math.inf
    assert middle_of_peers(quick[1:], 1, 2.0) == -math.inf
    assert middle_of_peers(quick, 3, 2.0) == -math.inf


def test_a_hopeless_trial_is_stopped(searched: Search, tmp_path: Path) -> None:
    """The others are told to have known everything, and to have been quick."""
    searched(1, epochs=3)
    study = optuna.load_study(study_name="manyfaces search emotion", storage=f"sqlite:///{tmp_path / 'study.db'}")
    for _ in range(PEERS):
        attributes = {"accuracies": [2.0] * 3, "milliseconds": 0.0}
        study.add_trial(optuna.trial.create_trial(values=[2.0, 0.0], user_attrs=attributes))
    last = searched(1, epochs=3)[-1]
    assert last.state == "pruned"
    assert last.reason.startswith("too weak: ")
    assert len(last.accuracies) == 1
    assert not (tmp_path / "trial-0005").exists()


# --- goes on ---------------------------------------------------------------------------------------------------------


def test_another_search_adds_trials_and_draws_others(searched: Search, tmp_path: Path) -> None:
    assert len(searched(2)) == 2
    found = searched(2, space=None)
    assert [one.number for one in found] == [0, 1, 2, 3]
    assert len({one.design_hash for one in found}) == 4
    assert [row["number"] for row in ledger(tmp_path)] == [0, 1, 2, 3]


@pytest.mark.parametrize("how", [KeyboardInterrupt, SystemExit])
def test_broken_off_it_goes_on_with_the_epoch_that_was(
    searched: Search, tmp_path: Path, how: type[BaseException]
) -> None:
    with pytest.raises(how):
        searched(3, epochs=3, watch=Quiet(stop_at=4, how=how))  # in the second epoch of the second trial
    assert [row["state"] for row in ledger(tmp_path)] == ["complete", "interrupted"]
    before = ledger(tmp_path)[1]
    watch = Quiet()
    found = searched(1, watch=watch)
    assert watch.epochs == [(2, 2), (2, 3)]
    assert [one.state for one in found] == ["complete", "interrupted", "complete"]
    assert found[2].design_hash == before["design_hash"]
    assert list(found[2].accuracies[:1]) == before["accuracies"]
    assert len(found[2].accuracies) == 3
    assert not (tmp_path / "trial-0001").exists()
    assert len(searched(1)) == 4  # taken up once


def test_what_a_machine_left_that_fell_silent_is_taken_up(searched: Search, tmp_path: Path) -> None:
    searched(1)
    study = optuna.load_study(study_name="manyfaces search emotion", storage=f"sqlite:///{tmp_path / 'study.db'}")
    left = draw_tiny(study.ask())
    with closing(sqlite3.connect(tmp_path / "study.db")) as database:
        database.execute(
            "INSERT INTO trial_heartbeats (trial_id, heartbeat) "
            "SELECT trial_id, '2000-01-01 00:00:00' FROM trials WHERE number = 1"
        )
        database.commit()
    found = searched(1)
    assert [one.state for one in found] == ["complete", "interrupted", "complete"]
    assert found[2].design_hash == design_hash(left)


def test_a_lost_checkpoint_costs_only_its_epochs(searched: Search, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        searched(1, epochs=2, watch=Quiet(stop_at=1))
    (tmp_path / "trial-0000" / "last.pt").write_bytes(b"half")
    found = searched(1)
    assert [one.state for one in found] == ["interrupted", "complete"]
    assert len(found[1].accuracies) == 2


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"space": "one"}, "searches with space tiny, not one"),
        ({"epochs": 2}, "searches with epochs 1, not 2"),
        ({"seed": 3}, "searches with seed 0, not 3"),
    ],
)
def test_a_study_of_another_search_is_refused(searched: Search, other: dict[str, object], said: str) -> None:
    searched(1)
    with pytest.raises(InputError, match=said):
        searched(1, **other)


def test_a_study_of_other_data_is_refused(searched: Search, faces: EmotionData, tmp_path: Path) -> None:
    searched(1)
    kept = (tmp_path / "ledger.jsonl").read_text()
    with pytest.raises(Exception, match="searches with other data"):
        searched(1, faces=faces[np.arange(1, 28)])
    assert (tmp_path / "ledger.jsonl").read_text() == kept


def test_two_studies_in_one_folder_are_refused(searched: Search, faces: EmotionData, tmp_path: Path) -> None:
    searched(1)
    with pytest.raises(InputError, match=r"ledger\.jsonl: is the ledger of another study"):
        search(str(tmp_path / "other.db"), faces, tmp_path, Wanted(1, "tiny"), MACHINE, Quiet())


def test_another_machine_gets_the_whole_ledger(searched: Search, faces: EmotionData, tmp_path: Path) -> None:
    searched(1)
    address = f"sqlite:///{tmp_path / 'study.db'}"
    search(address, faces, tmp_path / "there", Wanted(1), Machine("another", by_size), Quiet())
    assert [row["processor"] for row in ledger(tmp_path / "there")] == ["a test", "another"]
    assert read_recipe(tmp_path / "there" / "trial-0000" / "recipe.json").plan.epochs == 1


# --- studies that are none -------------------------------------------------------------------------------------------


def test_a_file_that_is_no_study_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no database at all, but long enough to be looked into" * 20)
    with sqlite3.connect(tmp_path / "people.db") as database:
        database.execute("CREATE TABLE people (name TEXT)")
    database.close()
    for name in ("notes.txt", "people.db"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(InputError, match=name):
            records(str(tmp_path / name))
        assert (tmp_path / name).read_bytes() == before


@pytest.mark.parametrize(
    "address",
    ["a-file/study.db", "a-folder", "sqlite:///a-file/x.db", "carrier-pigeon://x", "postgresql+none://x", "://"],
)
def test_what_cannot_be_reached_is_one_sentence(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").write_text("mine")
    (tmp_path / "a-folder").mkdir()
    with pytest.raises(InputError) as error:
        records(address)
    assert "\n" not in str(error.value)
    assert "disk I/O" not in str(error.value)


def test_a_folder_for_the_study_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert records("runs/of-today/search.db") == []
    assert (tmp_path / "runs" / "of-today" / "search.db").is_file()


def test_a_password_is_never_shown() -> None:
    assert "secret" not in shown("postgresql://me:secret@host/database")
    with pytest.raises(InputError) as error:
        records("carrier-pigeon://me:secret@host/database")
    assert "secret" not in str(error.value)


# --- what was found --------------------------------------------------------------------------------------------------


def test_the_front_is_what_none_beats_in_both() -> None:
    """Counted by hand: 1 is beaten by 0 (as quick, better), 3 by 2 (quicker, as good), 5 was stopped, 6 equals 4."""
    found = [
        known(0, (0.3, 0.5), 1.0),
        known(1, (0.4,), 1.0),
        known(2, (0.6,), 2.0),
        known(3, (0.6,), 3.0),
        known(4, (0.2,), 0.5),
        known(5, (0.9,), 0.1, "pruned"),
        known(6, (0.2,), 0.5),
    ]
    assert [one.number for one in front(found)] == [4, 0, 2]
    assert front([]) == []


def test_the_front_is_drawn(tmp_path: Path) -> None:
    found = [known(number, (0.1 * number,), 0.1 * 2**number) for number in range(6)]
    plot_front([*found, known(6, (0.1,), 0.4, "pruned"), Record(7, "failed")], "8 designs", tmp_path / "front.png")
    plot_front(found[:1], "1 design", tmp_path / "one.png")
    for name in ("front.png", "one.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.width > picture.height > 400


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_searches_shows_and_names_the_next_one(run: Run, faces_file: Path, tmp_path: Path) -> None:
    options = ("--data", faces_file, "--study", "s.db", "--trials", 1, "--space", "tiny", "--json", "f.json")
    ran = run("search", "emotion", *options)
    assert ran.status == 0, ran.err
    assert "epoch 1 of 1" in ran.err
    figures = json.loads((tmp_path / "f.json").read_text())
    (best,) = figures["front"]
    assert 0 < best["milliseconds"] < 1000
    assert figures["best"]["command"] in ran.out
    assert read_recipe(Path(best["recipe"])).design == design_from_dict(best["design"])
    assert (tmp_path / "front.png").stat().st_size > 1000
    assert figures["trials"] == {"complete": 1}
    assert "1 trial of the space tiny, 1 epoch each: 1 complete." in ran.out
    assert "2x64: 32 channels to begin with, then 2 blocks of 64" in ran.out


def test_photos_are_searched_with_as_training_reads_them(
    run: Run, tmp_path: Path, astronaut: Pixels, hopper: Pixels
) -> None:
    for name, image in (("happy", astronaut), ("neutral", hopper)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for cut in range(3):
            Image.fromarray(image[cut:, cut:]).save(tmp_path / "photos" / name / f"{cut}.png")
    options = ("--study", "runs/s.db", "--trials", 1, "--space", "tiny", "--json", "f.json")
    ran = run("search", "emotion", "--data", "photos", *options)
    assert ran.status == 0, ran.err
    assert "6 photos, 6 faces (6 photos searched now" in ran.err
    assert "% of the held-out photos (1 of 1)" in ran.err
    # What is typed next need not cut them again.
    assert "/runs/faces.npz " in json.loads((tmp_path / "f.json").read_text())["best"]["command"]
    quiet = run("search", "emotion", "--data", "runs/faces.npz", *options[:4], "--quiet")
    assert (quiet.status, quiet.out, quiet.err) == (0, "", "")


def test_nothing_trained_is_nothing_done(run: Run, faces_file: Path) -> None:
    options = ("--data", faces_file, "--study", "s.db", "--trials", 1, "--space", "tiny", "--max-ms", 1e-6)
    ran = run("search", "emotion", *options, "--quiet")
    assert ran.status == 3
    assert ran.err == "manyfaces: s.db: no trial was trained to its end (1 too slow); see " + ran.err.split("see ")[1]


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        (("--trials", 0), 2),
        (("--space", "outer"), 2),
        (("--max-ms", -1), 2),
        (("--study", "postgresql+none://host/x"), 2),
        (("--study", "postgresql+none://host/x", "--out", "out"), 3),
        (("--data", "none.npz"), 3),
        (("--study", "faces.npz"), 3),
        (("--study", "."), 3),
    ],
)
def test_what_goes_wrong_has_a_status_and_a_sentence(
    run: Run, faces_file: Path, wrong: tuple[object, ...], status: int
) -> None:
    usual = {"--data": faces_file, "--study": "s.db", "--trials": 1, "--space": "tiny"}
    options = usual | dict(zip(wrong[::2], wrong[1::2], strict=True))
    ran = run("search", "emotion", *(word for pair in options.items() for word in pair))
    assert ran.status == status, ran.err
    assert "Traceback" not in ran.err
    with suppress(StopIteration):
        assert next(line for line in ran.err.splitlines() if line.startswith("manyfaces: "))
