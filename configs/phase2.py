"""Phase 2: kidney and tumour in the region of interest. (paper, section 3.3).

Two V-Nets in cascade on a box of 384 x 240 x 80 voxels (x, y, z) at 0.78 x 0.78 x 3 mm
around the kidneys: the softmax of the first stands beside the CT as input of the
second, and each decoder stage of the first is added to its twin in the second.

    python bin/train.py --config configs/phase2.py --config.data.root DIR \
        --config.data.phase1 runs/phase1

Expect (paper, Table 2, an ensemble): Dice 0.968 kidney, 0.75 tumour on the validation
cases. Not yet reproduced on KiTS19 by us.

While training, the box is centred on the truth with a seeded jitter. Validation centres
it on the prediction of the run that `data.phase1` names, else on the truth.
"""

from configs import phase1


def get_config():
    config = phase1.get_config()
    config.name = "phase2"
    config.phase = 2
    config.data.downsample = (1, 1, 1)
    config.sample.shape = (80, 240, 384)  # section 3.1
    config.sample.foreground = 1.0  # every box is centred on foreground
    config.sample.jitter_mm = (12.0, 12.0, 12.0)  # ours: the size of phase 1's error
    config.model.cascade = True
    return config
