"""From probabilities to labels: the likeliest class, the tumour's with a weight.

The argmax treats all mistakes alike. Where Dice is what counts, a voxel is better
called tumour well below a probability of one half: with calibrated probabilities the
best threshold is half the Dice that it reaches (Lipton, Elkan and Narayanaswamy, 2014,
arXiv 1402.1892, for F1, which is Dice). A weight w calls tumour from 1 / (1 + w) on,
where kidney is the only other choice.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from vnet_jax.ct.geometry import Volume, bounding_box
from vnet_jax.ct.nifti import read_scaled, stem
from vnet_jax.errors import InputError
from vnet_jax.inference.rules import CYST, KIDNEY, TUMOUR

#: What ends the name of a mask before post-processing, and of its probabilities.
RAW, PROBABILITY = "_raw", "_probability"
#: What a stored probability of 1 is.
CERTAIN = 65535


def weigh_tumour(probabilities: np.ndarray, weight: float) -> None:
    """Multiplies the tumour's probability, in place.

    Args:
        probabilities: (..., C) float32.
        weight: above 0.
    """
    if weight != 1:
        probabilities[..., TUMOUR] *= weight


def labels_of(kidney: np.ndarray, tumour: np.ndarray, weight: float) -> np.ndarray:
    """The likeliest class of each voxel, as `segment` takes it from its networks.

    Args:
        kidney: (D, H, W) uint16 probability of kidney tissue, `CERTAIN` for 1.
        tumour: the same of tumour; what is left is background.
        weight: times the tumour's probability.

    Returns:
        uint8. Of equally likely classes the lowest.
    """
    labels = np.zeros(kidney.shape, np.uint8)
    box = bounding_box((kidney > 0) | (tumour > 0))
    if box is None:
        return labels
    at = tuple(slice(a, a + n) for a, n in zip(*box, strict=True))
    kidney, weighed = kidney[at], tumour[at] * np.float32(weight)
    background = CERTAIN - kidney.astype(np.int32) - tumour[at]
    inside = labels[at]
    inside[kidney > background] = KIDNEY
    inside[(weighed > kidney) & (weighed > background)] = TUMOUR
    return labels


def probability_beside(raw: Path) -> Path:
    """Where the probabilities of a raw mask lie: x_probability.nii.gz beside x_raw."""
    return raw.with_name(stem(raw).removesuffix(RAW) + f"{PROBABILITY}.nii.gz")


def read_shares(raw: Path, mask: Volume) -> tuple[np.ndarray, np.ndarray]:
    """The probabilities of kidney and tumour that lie beside a raw mask.

    Args:
        raw: the mask's path.
        mask: what it holds.

    Returns:
        (D, H, W) uint16 each, `CERTAIN` for 1.

    Raises:
        InputError: none there, a damaged file, another grid, or a mask with cysts,
            whose probability is not among them.
    """
    path = probability_beside(raw)
    if not path.is_file():
        remedy = "make them with bin/infer.py --save_raw --save_probability"
        raise InputError(raw, f"there is no {path.name} beside it", remedy)
    if mask.array.max(initial=0) >= CYST:
        wrong = "has cysts, whose probability is not stored"
        raise InputError(raw, wrong, "predict it with bin/infer.py --tumour_weight")
    (kidney, tumour), grid = read_scaled(path, 2)
    if not grid.same_place(mask.grid):
        raise InputError(path, f"lies on another grid than {raw.name}")
    return kidney, tumour


def weight_of(summary: Path) -> float:
    """The tumour's weight that a case was predicted with; 1 where nothing tells it.

    Args:
        summary: the case's JSON file; need not be there.

    Raises:
        InputError: a file that is no summary.
    """
    if not summary.is_file():
        return 1.0
    try:
        facts = json.loads(summary.read_text(encoding="utf-8"))
        rules = facts.get("options", {}).get("postprocess", {})
        return float(rules.get("tumour_weight", 1.0))
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(summary, f"no summary of a case ({error})") from None
