"""Phase 2 with every change of a sample on, for CTs that differ from the training's.

    python bin/train.py --config configs/phase2_strong.py --config.data.root DIR \
        --config.data.phase1 runs/phase1

    python bin/augment.py --config configs/phase2_strong.py --config.data.root DIR

The second draws what training would see, before it is trained (docs/augmentation.md).

The paper changes samples by registration alone (section 2.3). The numbers below are
ours: what CTs differ by, as far as files or anatomy say it, else near those of nnU-Net
(Isensee et al. 2021). Not trained on KiTS19 by us, so there is no Dice to expect.
"""

from configs import phase2


def get_config():
    config = phase2.get_config()
    config.name = "phase2_strong"

    augment = config.augment
    # Left and right kidney look alike; a body upside down or back to front never comes.
    augment.flip = (0.0, 0.0, 0.5)
    # How a patient lies. More would turn poles of the kidneys out of the box.
    augment.rotation = 15.0
    # Kidneys are 9 to 13 cm long, 11 +- 20 %; in shape they differ less.
    augment.scaling = 0.2
    augment.stretch = 0.1
    # Breathing and neighbours bend a kidney by millimetres over its width of 5 cm.
    # Control points 40 mm apart would allow 16 without a fold.
    augment.elastic_mm = 8.0
    augment.elastic_grid_mm = 40.0
    # From sharp to soft kernels: a full width of up to 1.9 mm.
    augment.blur_mm = 0.8
    # The coarsest of KiTS19's files over the grid: slices of 5 mm over 3, pixels of
    # 1.04 mm over 0.78.
    augment.low_resolution = (1.67, 1.33, 1.33)
    # Phases of contrast enhancement: kidneys from 30 HU (none) to 230. nnU-Net: powers
    # of 0.7 to 1.5, factors of 0.75 to 1.25.
    augment.gamma = 0.4
    augment.contrast = 0.25
    augment.brightness = 0.1  # 25 HU: tube voltage, calibration
    augment.noise = 0.08  # up to 20 HU beside the CT's own: low dose, large patients

    # Half of the samples turned, sized or bent, so that the common case stays common;
    # however many of these, a sample is read once. What hides detail comes less often.
    chance = augment.chance
    chance.rotation = chance.scaling = chance.stretch = chance.elastic = 0.5
    chance.blur = chance.low_resolution = 0.2
    chance.gamma = chance.contrast = chance.brightness = 0.3
    chance.noise = 0.2
    config.loader_threads = (
        4  # such a sample takes several times as long as a plain one
    )
    return config
