"""The paper from nothing to its tables on 2 CPU cores, on CTs painted around labels.

    python bin/reproduce.py --config configs/reproduce_small.py \
        --labels LABELS --data small/data --out small --devices_per_job 1

One core a job: two small trainings side by side get more done than one on both cores.

LABELS is a KiTS19 tree of label maps (83 of them are used). The steps, the networks and
the claims are those of `configs/reproduce.py`; what differs is small_phase1.py's and
small_phase2.py's size, 64 phantoms of no patient that train beside each fold's cases,
two folds in place of five, 24 warped cases for one of them, and ablations a seventh as
long as the folds' own trainings.
The CTs are synthetic: its tables say whether the machinery does what the paper says,
and nothing about patients.
"""

import ml_collections

from configs import reproduce


def get_config():
    config = reproduce.get_config()
    config.phase1 = "configs/small_phase1.py"
    config.phase2 = "configs/small_phase2.py"
    config.folds = 2
    config.test = 16
    config.workers = 2
    config.paint = paint = ml_collections.ConfigDict()
    paint.cases = 83
    paint.slices_mm = (2.0, 3.0, 3.0, 5.0)  # KiTS19's are 1 to 5 mm thick
    # 33 patients a fold are few small tumours, and few large ones. Coarser than the
    # painted: they are drawn in a second, and training sees blocks of 6 x 3.1 x 3.1 mm
    # of either.
    config.phantoms.cases = 64
    config.phantoms.spacing_mm = (3.0, 1.56324994, 1.56324994)
    config.phantoms.tumour_ml = (30.0, 1.8)  # median as KiTS19's, a third below 12 ml
    # Small networks learn faster with Dice beside the cross entropy, so that is their
    # loss, and the paper's is the ablation.
    del config.ablations.dice
    config.ablations.entropy = ("loss.name=cross_entropy",)
    config.shorter = ("epochs=3", "decay_epochs=(2, 3)", "eval_every=3")
    # With validation; half of what a step takes in one of two trainings side by side,
    # one core each of an EPYC (Zen 4).
    config.step_s.phase1 = 0.27
    config.step_s.phase2 = 0.6
    config.models = ("per_conv", "no_sum", "entropy")
    config.register.folds = (0,)
    config.register.hard = 8
    config.register.per_hard = 3
    config.register.equal_steps = True
    config.register.spacing_mm = (3.0, 1.5624, 1.5624)
    config.register.roi = (80, 128, 192)
    return config
