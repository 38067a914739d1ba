"""KiTS23: kidney, tumour and cyst (https://kits-challenge.org/kits23).

The paper's two phases on 489 cases whose labels tell cysts (3) from kidney (1) and
tumour (2). After a colon stands what is wanted, with commas:

    bin/train.py --config configs/kits23.py:phase1 --config.data.root DIR
    bin/train.py --config configs/kits23.py --config.data.root DIR \
        --config.data.phase1 runs/kits23_phase1

- nothing: phase 2, four classes.
- `phase1`: phase 1.
- `cyst_as_kidney`: three classes as in KiTS19, to which a cyst is kidney.

DIR is a clone of KiTS23's repository, its `dataset`, or an nnU-Net raw folder. The
second V-Net of four classes reads 5 channels; the copies that fill its width of 16 are
a b c d e, three times, and an a. Scored with `bin/evaluate.py --challenge=kits23`. Not
trained on KiTS23 by us, so there is no Dice to expect.
"""

from configs import phase1, phase2

OPTIONS = {"phase1", "cyst_as_kidney"}


def get_config(options=""):
    asked = {option for option in options.split(",") if option}
    if asked - OPTIONS:
        raise ValueError(f"{options!r} is none of {', '.join(sorted(OPTIONS))}")
    config = (phase1 if "phase1" in asked else phase2).get_config()
    config.name = "_".join(["kits23", *sorted(asked, reverse=True)])
    config.data.root = "data/kits23"
    if "cyst_as_kidney" in asked:
        config.data.labels = ((0, 0), (1, 1), (2, 2), (3, 1))
    else:
        config.data.labels = ((0, 0), (1, 1), (2, 2), (3, 3))
        config.model.classes = 4
    return config
