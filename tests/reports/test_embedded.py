import base64
import gzip

import nibabel as nib
import numpy as np
import pytest

from tests.reports.scenes import IPL, TUMOUR, scene
from vnet_jax.ct.geometry import Grid, Volume
from vnet_jax.reports import embedded


def opened(text):
    return nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(text)))


def test_the_part_around_the_mask_lies_where_it_lay():
    ct, mask, _ = scene()
    shown = embedded.embed(ct, mask)
    image, labels = opened(shown.ct), opened(shown.mask)
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
    assert labels.header.get_intent()[0] == "label"
    there = IPL.to_index(nib.affines.apply_affine(image.affine, [[0, 0, 0], [5, 4, 3]]))
    for index, at in zip(
        np.rint(there).astype(int), ([0, 0, 0], [5, 4, 3]), strict=True
    ):
        assert image.get_fdata()[tuple(at)] == ct.array[tuple(index)]
    tumour = np.argwhere(labels.get_fdata() == 2)
    middle = nib.affines.apply_affine(image.affine, tumour.mean(axis=0))
    corner = [(part.start + part.stop - 1) / 2 for part in TUMOUR]
    np.testing.assert_allclose(middle, IPL.to_mm(corner), atol=1e-4)
    np.testing.assert_allclose(shown.grid.to_mm([0, 0, 0]), image.affine[:3, 3])
    assert len(tumour) == np.count_nonzero(mask == 2)
    assert "the kidneys and 25 mm around them, every voxel" in shown.said


@pytest.mark.parametrize("codes", ["LPS", "RAS", "PIR"])
def test_any_axis_order_gives_the_same_file(codes):
    ct, mask, _ = scene()
    target = nib.orientations.axcodes2ornt(codes)
    change = nib.orientations.ornt_transform(nib.io_orientation(IPL.affine), target)
    turned = [nib.orientations.apply_orientation(a, change) for a in (ct.array, mask)]
    affine = IPL.affine @ nib.orientations.inv_ornt_aff(change, IPL.shape)
    other = embedded.embed(Volume(turned[0], Grid(turned[0].shape, affine)), turned[1])
    assert (other.ct, other.mask) == embedded_pair(ct, mask)


def embedded_pair(ct, mask):
    shown = embedded.embed(ct, mask)
    return shown.ct, shown.mask


def test_an_empty_mask_shows_the_whole_ct_and_hu_are_clipped():
    ct, mask, _ = scene()
    hu = ct.array.astype(np.float32)
    hu[0, 0, 0], hu[1, 1, 1] = -3000.4, 9000
    shown = embedded.embed(Volume(hu, IPL), np.zeros_like(mask))
    image = opened(shown.ct)
    assert image.shape == IPL.shape[::-1] and "the whole CT" in shown.said
    assert (image.get_fdata().min(), image.get_fdata().max()) == (-1024, 3071)


def test_what_is_too_large_is_shown_coarser(monkeypatch):
    ct, mask, _ = scene()
    monkeypatch.setattr(embedded, "VOXELS", 5000)
    shown = embedded.embed(ct, mask)
    image = opened(shown.ct)
    assert np.prod(image.shape) <= 5000 and "every few voxels" in shown.said
    mm = nib.affines.apply_affine(image.affine, [3, 2, 1])
    index = np.rint(IPL.to_index(mm)).astype(int)
    np.testing.assert_allclose(IPL.to_mm(index), mm, atol=1e-4)
    assert image.get_fdata()[3, 2, 1] == ct.array[tuple(index)]


def test_thin_slices_are_left_out_before_pixels(monkeypatch):
    monkeypatch.setattr(embedded, "VOXELS", 8_000_000)
    shape = np.array([300, 400, 500])
    assert embedded._coarser(shape, (1.0, 0.7, 0.7)) == (2, 2, 2)
    assert embedded._coarser(shape // 2, (1.0, 0.7, 0.7)) == (1, 1, 1)
    assert embedded._coarser(shape, (3.0, 0.7, 0.7)) == (1, 3, 3)


def test_a_mask_of_another_shape_is_refused():
    ct, mask, _ = scene()
    with pytest.raises(ValueError, match="grid"):
        embedded.embed(ct, mask[1:])
