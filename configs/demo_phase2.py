"""Phase 2 in about six minutes on 2 CPU cores: for `make demo` and for a first try.

    python bin/train.py --config configs/demo_phase2.py \
        --config.data.root data/phantoms --config.data.phase1 runs/demo_phase1

The same cascade as the paper's on blocks of 2 x 2 x 2 voxels, 6 x 3.5 x 3.5 mm, in
a region of interest of 192 x 168 x 280 mm; a larger tumour is tiled. See
`configs/demo_phase1.py` for what differs from the paper, and why.
"""

from configs import demo_phase1


def get_config():
    config = demo_phase1.get_config()
    config.name = "demo_phase2"
    config.phase = 2
    config.data.downsample = (2, 2, 2)
    config.sample.shape = (32, 48, 80)
    config.sample.foreground = 1.0
    config.sample.jitter_mm = (12.0, 12.0, 12.0)
    config.model.cascade = True
    config.epochs = 96
    config.decay_epochs = (58, 82)
    config.eval_every = 16
    config.keep_best = 3
    return config
