"""Which lever decided the accuracy."""

from __future__ import annotations

import optuna

from tuning.records.facts import Importances

FEWEST = 10  # trials that ran to their end


def importances(study: optuna.Study) -> Importances | None:
    """Which lever decided the first objective.

    fANOVA (Hutter et al., ICML 2014) and PED-ANOVA (Watanabe et al., IJCAI 2023), as Optuna has
    them, over the trials that ran to their end. A lever that exists in some trials alone (of VGG16,
    say, or of a penalty) is judged by neither.

    Returns:
        None where there are too few trials to say anything.
    """
    states = (optuna.trial.TrialState.COMPLETE,)
    over = study.get_trials(deepcopy=False, states=states)
    if len(over) < FEWEST or len({trial.values[0] for trial in over}) < 2:
        return None
    evaluators = {
        "fanova": optuna.importance.FanovaImportanceEvaluator(seed=0),
        "ped_anova": optuna.importance.PedAnovaImportanceEvaluator(),
    }
    several = len(study.directions) > 1
    methods = {}
    for name, evaluator in evaluators.items():
        found = optuna.importance.get_param_importances(
            study,
            evaluator=evaluator,
            target=(lambda trial: trial.values[0]) if several else None,
        )
        total = sum(found.values())
        methods[name] = {lever: share / total for lever, share in found.items()} if total else {}
    return {"trials": len(over), "methods": methods}
