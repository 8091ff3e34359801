"""The article's experiments: when they come, and that no sampler and no scheduler sees them."""

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from told import told

from search_spaces.experiments import EXPERIMENTS
from tuning.data import dataset
from tuning.features import FeatureCache
from tuning.options import Options
from tuning.options.choices import SAMPLERS
from tuning.records.trial_log import TrialRecord
from tuning.scheduling import study as studies
from tuning.scheduling.early_stopping import build_scheduler
from tuning.scheduling.limits import Machine, limits
from tuning.scheduling.optuna_private import EXPERIMENT, proposed
from tuning.scheduling.samplers import build_sampler
from tuning.scheduling.searcher import LeverSearch
from tuning.scheduling.space import LeverSpace
from tuning.scheduling.turns import Allowance, Turns
from tuning.training.context import TrialContext
from tuning.training.source import vgg16_from

SPACE = LeverSpace(6, {"vgg16": 3}, "levers", False)
CONVNET, BOTTLENECK, FINE_TUNE = (each.name for each in EXPERIMENTS)


def order(planned, *, space=SPACE, experiments=EXPERIMENTS, sampler="random", **turns):
    """What a run of so many trials tries, one after the other."""
    study = optuna.create_study(sampler=build_sampler(sampler, 0), direction="maximize")
    for point in () if turns.get("alone") else space.portfolio():
        study.enqueue_trial(space.asked(point)[0])
    search = LeverSearch(study, space, turns=Turns(study, experiments, planned, 6, **turns))
    found = []
    for number in range(planned):
        config = search.suggest(str(number))
        found.append(config["experiment"])
        score = {"epoch": 6, "validation_score": 0.5, "best_score": 0.5, "over": True}
        search.on_trial_complete(str(number), told(score))
    return found, study


@pytest.mark.parametrize(
    ("planned", "expected"),
    [
        (1, [None]),
        (2, [None, BOTTLENECK]),
        (3, [None, BOTTLENECK, CONVNET]),
        (4, [None, BOTTLENECK, CONVNET, FINE_TUNE]),
        (9, [None, BOTTLENECK, *[None] * 5, CONVNET, FINE_TUNE]),
    ],
)
def test_without_a_budget_the_long_ones_come_last(planned, expected):
    assert order(planned)[0] == expected


def test_beside_another_backbone_they_come_after_three_trials():
    found, _ = order(9, beside=3)
    first = next(place for place, name in enumerate(found) if name)
    assert first == 3
    assert set(found) == {None, "convnet", "bottleneck", "fine_tune"}


def test_where_nothing_is_known_to_be_good_the_bottleneck_comes_first():
    found, _ = order(5, space=LeverSpace(6, {"vgg16": 3}))
    assert found == [BOTTLENECK, None, None, CONVNET, FINE_TUNE]


def test_alone_they_come_in_the_articles_order():
    assert order(3, alone=True)[0] == [CONVNET, BOTTLENECK, FINE_TUNE]


def allowance(seconds, spent):
    times = {CONVNET: 1.0, FINE_TUNE: 10.0}

    def estimate(point):
        name = CONVNET if point["network"] == "convnet" else FINE_TUNE
        return times[name] * point["epochs"]

    return Allowance(seconds, lambda: spent, estimate)


def test_of_a_budget_they_get_a_quarter():
    early, _ = order(30, allowance=allowance(1e6, 0.5))
    assert early[:12] == [None, BOTTLENECK, *[None] * 10]
    late, study = order(9, allowance=allowance(55.0, 0.75))
    assert late == [None, BOTTLENECK, CONVNET, FINE_TUNE, *[None] * 5]
    turns = Turns(study, EXPERIMENTS, 9, 6, allowance=allowance(55.0, 0.75))
    (note,) = turns.notes()
    assert "“Fine-tuning VGG16's last block” was shortened to 5 of 6 epochs" in note


def test_what_a_budget_does_not_pay_for_is_left_out_and_said():
    found, study = order(9, allowance=allowance(20.0, 0.75))
    assert found == [None, BOTTLENECK, CONVNET, *[None] * 6]
    (note,) = Turns(study, EXPERIMENTS, 9, 6, allowance=allowance(20.0, 0.75)).notes()
    assert "“Fine-tuning VGG16's last block” was left out: it takes about 1 min" in note


def test_one_that_was_interrupted_goes_on():
    study = optuna.create_study(sampler=build_sampler("tpe", 0))
    turns = Turns(study, EXPERIMENTS, 30, 6)
    search = LeverSearch(study, LeverSpace(6, {"vgg16": 3}), turns=turns)
    first = search.suggest("a")
    assert first["experiment"] == BOTTLENECK
    study._storage.set_trial_state_values(0, TrialState.WAITING)
    assert search.suggest("b") == first
    assert search.suggest("c")["experiment"] is None


def test_one_that_was_interrupted_goes_on_before_points_that_wait():
    study = optuna.create_study(sampler=build_sampler("random", 0), direction="maximize")
    for point in SPACE.portfolio():
        study.enqueue_trial(SPACE.asked(point)[0])
    first = LeverSearch(study, SPACE, turns=Turns(study, EXPERIMENTS, 4, 6))
    for name in "abc":
        config = first.suggest(name)
        if config["experiment"] != CONVNET:
            score = {"epoch": 6, "validation_score": 0.5, "best_score": 0.5, "over": True}
            first.on_trial_complete(name, told(score))
    studies.release(study)
    again = LeverSearch(study, SPACE, turns=Turns(study, EXPERIMENTS, 4, 6))
    assert again.suggest("d") == config
    assert again.suggest("e")["experiment"] == FINE_TUNE


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_no_sampler_sees_them(sampler):
    if sampler == "gp":
        pytest.importorskip("torch")
    pytest.importorskip("cmaes" if sampler == "cmaes" else "scipy")

    def tried(study, marked):
        found = []
        for number in range(16):
            if marked and number % 4 == 3:
                name = EXPERIMENTS[number // 4 % 3].name
                study.add_trial(
                    optuna.trial.create_trial(
                        values=[1.0],
                        params={f"{name}/x": "a"},
                        distributions={
                            f"{name}/x": optuna.distributions.CategoricalDistribution(("a",))
                        },
                        user_attrs={EXPERIMENT: name},
                    )
                )
            elif number % 4 != 3:
                trial = study.ask()
                x = trial.suggest_float("x", 0, 1, step=0.01)
                y = trial.suggest_int("y", 0, 5)
                found.append((x, y))
                study.tell(trial, x * y)
        return found

    studies = [
        optuna.create_study(sampler=build_sampler(sampler, 3), direction="maximize")
        for _ in range(2)
    ]
    without, beside = (tried(study, marked) for study, marked in zip(studies, (0, 1), strict=True))
    assert len(set(without)) > 3
    if sampler in ("random", "qmc", "grid", "tpe"):
        assert without == beside
    assert len(studies[1].trials) == 16
    assert len(proposed(studies[1]).get_trials()) == 12


def test_schedulers_neither_stop_them_nor_compare_with_them():
    class Trial:
        def __init__(self, number, experiment):
            self.trial_id = str(number)
            self.config = {"number": number, "experiment": experiment}

    halving = build_scheduler("asha", 9)
    halving.set_search_properties("best_score", "max")

    def run(number, accuracy, experiment=None):
        halving.on_trial_add(None, trial := Trial(number, experiment))
        return halving.on_trial_result(None, trial, told({"epoch": 1, "best_score": accuracy}))

    for number in range(6):
        assert run(number, 0.99, BOTTLENECK) == "CONTINUE"
    assert run(6, 0.5) == "CONTINUE"  # nothing to be compared with
    assert run(7, 0.1) == "STOP"
    assert run(8, 0.1, CONVNET) == "CONTINUE"
    assert halving.endings.stopped == {7}
    # Nor when a run is resumed.
    again = build_scheduler("asha", 9)
    curve = {"validation_score": [0.99]}
    again.replay(
        [TrialRecord(n, {"epochs": 9}, 0.0, curve=curve, experiment=CONVNET) for n in range(6)]
    )
    halving = again
    assert run(6, 0.5) == "CONTINUE"


@pytest.fixture(scope="module")
def pictures(photos, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return dataset.load(photos, cache=cache, image_size=150, per_class=(100, 40))


def limited(pictures, rate, **options):
    space = LeverSpace(50, {"vgg16": options.get("max_unfrozen", 13)}, "levers", False)
    machine = Machine(
        rate, TrialContext(pictures, FeatureCache(Path("cache")), vgg16_from("random"))
    )
    return limits(Options(data="photos", **options), space, machine)


def test_a_slow_machine_keeps_to_what_it_can_pay_for(pictures):
    assert limited(pictures, 1e15) == []
    # A tenth of four hours at 10 GFLOP/s: 1.4e13 operations are 50 epochs of the top conv layer,
    # 0.38 GFLOP a picture forward and twice that backward, on 200 and 80 pictures, and not of two.
    assert limited(pictures, 1e10)[0] == "unfrozen=0:1"
    assert limited(pictures, 1e11)[0] == "unfrozen=0:5"
    # Half of it are views: 8 of 200 pictures, 13 GFLOP each, of three policies; one pass mirrored.
    assert limited(pictures, 1e10) == ["unfrozen=0:1"]
    slow = ["unfrozen=0:0", "augmentation=none,mirror"]
    assert limited(pictures, 1e10, time_budget="1h") == slow
    assert limited(pictures, 1e10, budget=1, price=1) == slow
    assert limited(pictures, 1e8) == ["unfrozen=0:0", "augmentation=none"]


def test_what_the_user_says_goes_before(pictures, tmp_path):
    file = tmp_path / "points.json"
    file.write_text('[{"unfrozen": 5, "augmentation": "crop"}]')
    found = limited(pictures, 1e10, enqueue=file, time_budget="1h")
    assert found == ["unfrozen=0:5", "augmentation=none,mirror,crop"]
    assert limited(pictures, 1e8, max_unfrozen=7) == ["augmentation=none"]


def test_points_known_to_be_good_stay_inside():
    points = SPACE.within(["unfrozen=0:0", "augmentation=none"]).portfolio()
    assert [point["pooling"] for point in points] == ["average", "standardised"]
    assert all(point["unfrozen"] == 0 for point in points)
