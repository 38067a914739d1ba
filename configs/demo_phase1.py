"""Phase 1 in a minute or two on 2 CPU cores: for `make demo` and for a first try.

    python bin/phantom.py --out data/phantoms --n 16 --spacing 3,1.75,1.75
    python bin/train.py --config configs/demo_phase1.py --config.data.root data/phantoms

It trains on any KiTS19-layout folder, at any spacing: every CT is resampled to
3 x 1.75 x 1.75 mm first, and this phase works on blocks of 2 x 4 x 4 of those
voxels, 6 x 7 x 7 mm.

Against the paper: a quarter of the width, coarser voxels, one whole-body patch at a
time, the V-Net as its authors drew it with group norm (batch norm's running averages
lag behind a run of some hundred steps), Dice beside the cross entropy, augmented
samples, a moving average of the parameters, a higher learning rate, and bfloat16 where
the processor has matrix units for it. All of it buys speed; none of it is meant for
patients.
"""

from configs import phase1


def get_config():
    config = phase1.get_config()
    config.name = "demo_phase1"
    config.data.root = "data/phantoms"
    config.data.spacing_mm = (3.0, 1.75, 1.75)
    config.data.downsample = (2, 4, 4)
    config.data.folds = 4  # 16 cases: 12 to train, 4 to validate
    config.sample.shape = (48, 64, 64)  # 288 x 448 x 448 mm: a whole abdomen
    config.model.variant = "diagram"
    config.model.norm = "group"
    config.model.width = 4
    config.model.dtype = "auto"
    config.loss.name = "cross_entropy_dice"
    config.augment.flip = (0.0, 0.0, 0.5)
    config.augment.rotation = 15.0
    config.augment.stretch = 0.2
    config.augment.contrast = 0.2
    config.augment.brightness = 0.1
    config.augment.noise = 0.05
    config.epochs = 30
    config.batch_size = 1
    config.learning_rate = 2e-3
    config.decay_epochs = (18, 25)
    config.decay = 0.3
    config.ema = 0.99
    config.eval_every = 15
    config.keep_best = 1
    return config
