"""Kidney and tumour in the whole CT at once, without a box, on several GPUs.

The cascade of phase 2 sees the CT at 3 x 0.78 x 0.78 mm in one piece of 160 slices
(480 mm) of 512 x 512 voxels, cut into four slabs of 128 columns, a GPU each. The GPUs
send each other the slabs' edges: the result is that of one GPU with the memory of four.
Nothing in the paper is trained so: it crops to save this memory (section 3.1).

    python bin/train.py --config configs/whole_ct.py --config.data.root DIR

On four GPUs; `docs/scaling.md` says what each is planned to hold. Not trained on KiTS19
by us, so there is no Dice to expect.
"""

from configs import phase1


def get_config():
    config = phase1.get_config()
    config.name = "whole_ct"
    config.data.downsample = (1, 1, 1)
    config.sample.shape = (160, 512, 512)
    config.sample.foreground = 1.0
    config.model.cascade = True
    config.model.dtype = "bfloat16"
    config.model.remat = True
    config.mesh.space = 4
    config.batch_size = 1
    return config
