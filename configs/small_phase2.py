"""Phase 2 of `configs/reproduce_small.py`, whose epochs have 97 cases.

    python bin/train.py --config configs/small_phase2.py --config.data.root DIR \
        --config.data.phase1 runs/small_phase1

The paper's cascade on blocks of 2 x 4 x 4 voxels of its grid, 6 x 3.1 x 3.1 mm, in a
region of 192 x 200 x 300 mm; longer kidneys are tiled. What else differs from the
paper is what `configs/demo_phase1.py` says.
"""

from configs import demo_phase2


def get_config():
    config = demo_phase2.get_config()
    config.name = "small_phase2"
    config.data.spacing_mm = (3.0, 0.78162497, 0.78162497)
    config.data.downsample = (2, 4, 4)
    config.data.folds = 2
    config.sample.shape = (32, 64, 96)
    # A tenth of the windows anywhere in the CT: phase 1's boxes may reach too far.
    config.sample.foreground = 0.9
    config.augment.scaling = 0.15
    config.augment.elastic_mm = 8.0
    config.augment.chance.elastic = 0.5
    config.augment.gamma = 0.3
    config.epochs = 20
    config.decay_epochs = (12, 17)
    config.eval_every = 4
    config.keep_best = 2  # as a rule from after the first decay
    return config
