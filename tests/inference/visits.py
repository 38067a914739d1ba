"""Dates of a patient made of ellipsoids, as infer and measure leave them on disk."""

import numpy as np

from tests.measures.shapes import grid, world
from vnet_jax.ct.geometry import Volume
from vnet_jax.ct.nifti import Scan, read_ct, write_image, write_mask
from vnet_jax.data.files import write_json
from vnet_jax.inference.given import Given
from vnet_jax.inference.measured import summarise

SPACING = (3.0, 1.5, 1.5)
#: Centre and half axes of the kidneys, x y z in mm; the right one has the larger x.
KIDNEYS = {"right": ((55, 0, 0), (28, 18, 45)), "left": ((-55, 0, 4), (28, 18, 45))}


def moved(places, shift, degrees, about):
    """Places of the voxels as they were before the kidney moved and turned about z."""
    a = np.radians(degrees)
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    centre = np.reshape(about, (3, 1, 1, 1))
    back = np.tensordot(turn.T, places - centre - np.reshape(shift, (3, 1, 1, 1)), 1)
    return back + centre


def draw(
    tumours, shift=(0, 0, 0), degrees=0.0, kidneys=("left", "right"), spacing=SPACING
):
    """A CT and labels: kidneys with a hilum; tumours are (centre, radius), mm."""
    g = grid((130, 90, 200), spacing)
    places = world(g)
    hu = np.where((np.abs(places[1]) < 42) & (np.abs(places[0]) < 97), 30, -1000)
    labels = np.zeros(g.shape, np.uint8)
    for side in kidneys:
        centre, axes = KIDNEYS[side]
        at = moved(places, shift, degrees, centre)
        inner = np.reshape((np.sign(centre[0]) * 31, 0, centre[2]), (3, 1, 1, 1))
        offset, size = np.reshape(centre, (3, 1, 1, 1)), np.reshape(axes, (3, 1, 1, 1))
        body = (((at - offset) / size) ** 2).sum(axis=0) <= 1
        body &= ((at - inner) ** 2).sum(axis=0) > 14**2
        labels[body] = 1
        for where, radius in tumours:
            if np.sign(where[0]) == np.sign(centre[0]):
                mass = ((at - np.reshape(where, (3, 1, 1, 1))) ** 2).sum(axis=0)
                labels[mass <= radius**2] = 2
    hu[labels == 1], hu[labels == 2] = 160, 60
    return Volume(hu.astype(np.int16), g), labels


def write_visit(folder, name, ct=False, intervals=None, **drawn):
    """Writes mask and summary, the CT too where it is asked for; the summary's path."""
    folder.mkdir(parents=True, exist_ok=True)
    volume, labels = draw(**drawn)
    scan = Scan(volume, folder / "ct" / f"{name}.nii.gz", "0", ())
    if ct:
        scan.path.parent.mkdir(exist_ok=True)
        write_image(scan.path, volume.array, volume.grid)
        scan = read_ct(scan.path)
    facts = summarise(scan, Given(labels, {}, []))
    write_mask(folder / f"{name}.nii.gz", labels, volume.grid)
    path = folder / f"{name}.json"
    facts = {"case": name, **facts, "outputs": {}, "intervals_ml": intervals}
    write_json(path, facts)
    return path
