"""Phase 1: where are the kidneys? (paper, section 3.2).

A V-Net on the whole CT, down-sampled in-plane by 4 so that a voxel is about 3 mm in
each axis, trained on patches and tiled with half overlap for prediction. Its foreground
places the box that phase 2 refines.

    python bin/train.py --config configs/phase1.py --config.data.root DIR

Expect (paper, Table 1): Dice 0.90 kidney, 0.19 tumour on the validation cases. Not yet
reproduced on KiTS19 by us.

Every value is the paper's unless its comment says otherwise. A run folder keeps the
config it was trained with, and inference reads it from there.
"""

import ml_collections


def get_config():
    config = ml_collections.ConfigDict()
    config.name = "phase1"
    config.phase = 1
    config.seed = 0
    config.init_from = ""  # a run folder or a file of weights to start from; ours

    config.data = data = ml_collections.ConfigDict()
    data.root = "data/kits19"  # KiTS19 tree or nnU-Net raw folder
    data.cache = "cache"  # memory-mapped volumes, rebuilt when the source changes
    data.spacing_mm = (3.0, 0.78162497, 0.78162497)  # z, y, x: KiTS19's `interpolated`
    data.downsample = (1, 4, 4)  # block means; the factor is ours, the paper gives none
    data.labels = ((0, 0), (1, 1), (2, 2))  # value in the file -> class
    data.clip_hu = (-250.0, 250.0)  # section 2.2; scaled to [-1, 1]
    data.pad_value = 0.0  # after scaling (section 4.1: zero-pad)
    data.test = 0  # cases set apart before the folds; KiTS19 has its own 90
    data.folds = 5  # ours; the paper does not say how it split
    data.fold = 0
    data.splits = ""  # frozen folds (bin/crossval.py) in place of drawing them
    data.extra = ()  # further data sets whose cases only train
    data.phase1 = ""  # unused in this phase

    config.sample = sample = ml_collections.ConfigDict()
    sample.shape = (64, 128, 128)  # z, y, x voxels of a patch; ours
    sample.foreground = 0.5  # share of the patches centred on foreground; ours
    sample.jitter_mm = (0.0, 0.0, 0.0)  # of a region of interest; unused in this phase

    # Random changes of a sample; the paper has none but registration (section 2.3).
    config.augment = augment = ml_collections.ConfigDict()
    augment.flip = (0.0, 0.0, 0.0)  # probability of mirroring z, y, x
    augment.swap = ()  # ((1, 2),): classes of a side that change places with x mirrored
    augment.rotation = 0.0  # 15: by up to 15 degrees about each axis
    augment.stretch = 0.0  # 0.2: each axis by a factor of 0.8 to 1.2
    augment.scaling = 0.0  # 0.2: all axes by one factor of 0.8 to 1.2
    augment.elastic_mm = 0.0  # 8: control points of a B-spline move by up to 8 mm
    augment.elastic_grid_mm = 40.0  # between them; at most 0.4 of it, so nothing folds
    augment.blur_mm = 0.0  # 1: a Gaussian's standard deviation, up to 1 mm
    augment.low_resolution = (1.0, 1.0, 1.0)  # (2, 2, 2): voxels up to twice as large
    augment.gamma = 0.0  # 0.5: intensities (0 to 1) to the power of 1 / 1.5 to 1.5
    augment.contrast = 0.0  # 0.2: intensities times 0.8 to 1.2
    augment.brightness = 0.0  # 0.1: plus -0.1 to 0.1, 25 HU
    augment.noise = 0.0  # 0.05: white noise of up to 12 HU
    augment.chance = chance = ml_collections.ConfigDict()  # probability of each
    chance.rotation = chance.stretch = chance.scaling = chance.elastic = 1.0
    chance.blur = chance.low_resolution = 1.0
    chance.gamma = chance.contrast = chance.brightness = chance.noise = 1.0

    config.model = model = ml_collections.ConfigDict()
    model.factory = ""  # "package.module:Net", one of your own: docs/own_parts.md
    model.kwargs = ml_collections.ConfigDict()  # for the factory
    model.cascade = False
    model.variant = "monai"  # or "caffe", "diagram": see docs/reference.md
    model.width = 16  # channels at full resolution
    model.classes = 3  # background, kidney, tumour
    model.activation = "variant"  # the variant's own, or "elu", "prelu"
    model.norm = "variant"  # or "batch", "batch_per_device", "group", "none"
    model.dropout = 0.5
    model.summation = "per_stage"  # cascade: or "per_conv", "none"
    model.stop_gradient = False  # cascade: cut between stage 1's softmax and stage 2
    model.dtype = "float32"  # of the computation; parameters stay float32
    model.remat = False  # recompute activations in the backward pass: less memory

    config.epochs = 600
    config.batch_size = 4  # global: one a GPU on the authors' four
    config.device_batch = 1  # samples a device holds at a time; the rest accumulates
    config.mesh = mesh = ml_collections.ConfigDict()
    mesh.data = 0  # groups of devices that share the batch; 0: all there are
    mesh.space = 1  # devices that share each volume, cut along its longest axis
    config.learning_rate = 1e-4
    config.decay_epochs = (200, 400)
    config.decay = 0.5
    config.ema = 0.0  # 0.99: predict with a moving average of the parameters; 0: none
    config.adam = ml_collections.ConfigDict(dict(b1=0.9, b2=0.999, eps=1e-8))
    config.loss = loss = ml_collections.ConfigDict()
    loss.name = "cross_entropy"  # section 3.4; or "dice", "focal", "focal+0.5*dice" ...
    loss.factory = ""  # "package.module:loss", one of your own: docs/own_parts.md
    loss.kwargs = ml_collections.ConfigDict()  # for the factory
    loss.class_weights = ()  # (1, 1, 2): one a class
    loss.focal_gamma = 2.0  # Lin et al. 2017
    config.stage_weights = (1.0, 1.0)  # cascade: loss(stage 1) + loss(stage 2)

    config.eval_every = 10  # epochs
    config.keep_best = 5  # section 5.1: the ensemble of the 5 best
    config.checkpoint_minutes = 15.0
    config.loader_threads = 2
    config.overlap = 0.5  # of neighbouring tiles in prediction
    return config
