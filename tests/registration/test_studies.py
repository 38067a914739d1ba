import nibabel as nib
import numpy as np
import pytest

from vnet_jax.data.cases import find_cases
from vnet_jax.data.prepare import GridSpec
from vnet_jax.errors import InputError
from vnet_jax.registration.studies import Region, read_study, write_study

SPEC = GridSpec((3.0, 1.0, 1.0))


def test_the_whole_ct_is_as_it_was(dataset, anatomy):
    study = read_study(find_cases(dataset(1))[0], Region(SPEC, None))
    image, label = anatomy()
    assert np.array_equal(study.image, image)
    assert np.array_equal(study.label, label)
    # Voxels 4 to 9, 10 to 21 and 8 to 35 hold the kidneys.
    assert study.middle_vox.tolist() == [6.5, 15.5, 21.5]
    assert study.frame.to_mm(study.middle_vox).tolist() == [0, 0, 0]
    assert study.frame.to_mm([7.5, 15.5, 20.5]).tolist() == [3, 0, -1]


def test_the_region_is_the_window_around_the_kidneys(dataset, anatomy):
    study = read_study(find_cases(dataset(1))[0], Region(SPEC, (8, 16, 32), 0.0))
    image, label = anatomy()
    assert np.array_equal(study.image, image[3:11, 8:24, 6:38])
    assert np.array_equal(study.label, label[3:11, 8:24, 6:38])
    # Its place in the world is that of the CT it was cut from.
    assert study.grid.to_mm([0, 0, 0]).tolist() == [-6, -8, -9]
    assert study.frame.to_mm(study.middle_vox).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("window", "margin_mm", "slack_mm", "box"),
    [
        ((8, 16, 32), 0.0, 0.0, ((3, 8, 6), (8, 16, 32))),
        # The kidneys, 6 x 12 x 28, with 3 mm at each side are longer than the window.
        ((4, 4, 4), 3.0, 0.0, ((3, 7, 5), (8, 18, 34))),
        ((8, 16, 32), 0.0, 3.0, ((2, 5, 3), (10, 22, 38))),
        # Shifted to stay inside, and shorter where the volume is.
        ((12, 34, 60), 0.0, 0.0, ((1, 0, 0), (12, 34, 44))),
    ],
)
def test_the_box(anatomy, window, margin_mm, slack_mm, box):
    region = Region(SPEC, window, margin_mm)
    assert region.box(anatomy()[1], slack_mm) == box


def test_no_label_and_no_kidney_are_refused(dataset, anatomy):
    root = dataset(2)
    (root / "case_00000" / "segmentation.nii.gz").unlink()
    file = root / "case_00001" / "segmentation.nii.gz"
    old = nib.load(file)
    nib.save(nib.Nifti1Image(np.zeros(old.shape, np.uint8), old.affine), file)
    cases = find_cases(root)
    with pytest.raises(InputError, match="has no label"):
        read_study(cases[0], Region(SPEC, None))
    with pytest.raises(InputError, match="labels no kidney"):
        read_study(cases[1], Region(SPEC, None))


def test_an_engine_gets_it_clipped_and_unclipped(dataset, tmp_path):
    study = read_study(find_cases(dataset(1))[0], Region(SPEC, (8, 16, 32)))
    files = write_study(study, tmp_path, "fixed")
    seen = {kind: nib.load(file) for kind, file in files.items()}
    assert np.array_equal(seen["image"].dataobj, study.image)
    assert np.array_equal(seen["label"].dataobj, study.label)
    clipped = np.asarray(seen["clipped"].dataobj)
    assert np.array_equal(clipped, study.image.clip(-250, 250))
    for image in seen.values():
        np.testing.assert_allclose(image.affine, study.frame.affine, atol=1e-5)
