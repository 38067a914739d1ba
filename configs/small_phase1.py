"""Phase 1 of `configs/reproduce_small.py`, whose folds have 33 cases to train.

    python bin/train.py --config configs/small_phase1.py --config.data.root DIR

Blocks of 2 x 8 x 8 voxels of the paper's grid, 6 x 6.3 x 6.3 mm, and a whole abdomen a
sample. What else differs from the paper is what `configs/demo_phase1.py` says.
"""

from configs import demo_phase1


def get_config():
    config = demo_phase1.get_config()
    config.name = "small_phase1"
    config.data.spacing_mm = (3.0, 0.78162497, 0.78162497)
    config.data.downsample = (2, 8, 8)
    config.data.folds = 2
    config.sample.shape = (48, 64, 64)  # 288 x 400 x 400 mm
    config.augment.scaling = 0.15
    config.augment.gamma = 0.3
    config.epochs = 60
    config.decay_epochs = (36, 51)
    config.eval_every = 30
    config.keep_best = 2
    return config
