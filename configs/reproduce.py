"""The paper from nothing to its tables, at its own size: for four GPUs and KiTS19.

    python bin/reproduce.py --config configs/reproduce.py --data data/kits19 --out paper

The fields say which networks are trained, beyond the phases of each fold, and what is
compared with what. Every training is `bin/train.py` with the phase's config and the
changes that stand here, so that a row of a table is one command.
"""

import ml_collections


def get_config():
    config = ml_collections.ConfigDict()
    config.phase1 = "configs/phase1.py"
    config.phase2 = "configs/phase2.py"
    config.seed = 0
    config.folds = 5  # ours; the paper does not say how it split
    config.test = 42  # a fifth of KiTS19's 210, seen by no training and no choice
    config.fold = 0  # whose training cases the ablations have
    config.workers = 8  # processes that build caches, align pairs and score

    # Section 2.3: the 20 worst cases, 10 others aligned with each of them.
    config.register = register = ml_collections.ConfigDict()
    register.folds = (0, 1, 2, 3, 4)  # the folds that train with the warped cases
    register.hard = 20
    register.per_hard = 10
    register.engine = "greedy"  # the paper's own: "niftyreg"
    register.spacing_mm = ()  # of the alignment: phase 2's own by default
    register.roi = ()  # z, y, x voxels of it: phase 2's window by default
    # False: as many epochs as without warped cases, so more steps; the paper's way, as
    # we read it. True: as many steps, which compares the cases and not the length.
    register.equal_steps = False

    # Name -> changes of phase 2's config. Each is trained on `fold` without warped
    # cases and stands beside that fold's own phase 2; or, where all of them are
    # `shorter` (changes such as "epochs=20"), beside one that is as short as they.
    config.shorter = ()
    config.ablations = ablations = ml_collections.ConfigDict()
    ablations.single = ("model.cascade=False",)  # one V-Net on the region
    ablations.per_conv = ("model.summation=per_conv",)
    ablations.no_sum = ("model.summation=none",)
    ablations.dice = ("loss.name=cross_entropy_dice",)
    ablations.own_slices = ("data.spacing_mm=(0.0, 0.78162497, 0.78162497)",)

    # Section 5.1, (2): networks averaged as "different models", beside the fold's own.
    config.models = ("per_conv", "no_sum", "dice")
    config.flips = "x"  # of test-time mirroring

    # For --dry_run: seconds of an optimiser step. Four H200s, after the model in
    # docs/scaling.md; phase 1 was not measured and is left out of the sum.
    config.step_s = ml_collections.ConfigDict(dict(phase1=0.0, phase2=0.147))
    config.paint = ml_collections.ConfigDict()  # no synthetic CTs
    config.phantoms = ml_collections.ConfigDict()  # no phantoms that train as well
    return config
