import gzip
import os

import nibabel as nib
import numpy as np
import pytest

from vnet_jax.ct import nifti
from vnet_jax.ct.files import replacing
from vnet_jax.ct.geometry import Grid
from vnet_jax.errors import InputError


def test_names():
    assert nifti.stem("a/x.nii.gz") == "x"
    assert nifti.stem("x.y.NII.GZ") == "x.y"
    assert nifti.stem("a.b/x.nii") == "x"
    assert nifti.is_nifti_name("a/X.Nii.gz")
    assert nifti.is_nifti_name("x.nii")
    assert not nifti.is_nifti_name("x.gz")
    assert not nifti.is_nifti_name("x.nii/y.png")


def test_read_agrees_with_nibabel(put, hu):
    path = put(hu, scl_slope=0.25, scl_inter=3)
    scan, image = nifti.read_ct(path), nib.load(path)
    np.testing.assert_allclose(scan.volume.array, image.get_fdata())
    np.testing.assert_array_equal(scan.volume.grid.affine, image.affine)
    assert scan.path == path


def test_a_grid_is_read_from_the_header_alone(tmp_path, put, hu):
    path = put(hu)
    assert nifti.read_grid(path).same_place(nifti.read_ct(path).volume.grid)
    broken = tmp_path / "broken.nii.gz"
    whole = gzip.compress(np.random.default_rng(0).bytes(1 << 20))
    broken.write_bytes(gzip.compress(gzip.open(path).read() + whole)[:-50])
    assert nifti.read_grid(broken).shape == hu.shape
    with pytest.raises(InputError):
        nifti.read_ct(broken)
    broken.write_bytes(b"")
    with pytest.raises(InputError, match=r"broken\.nii\.gz: the file is empty"):
        nifti.read_grid(broken)


def test_a_qform_alone_is_enough(tmp_path, hu, affine):
    """As in nine of KiTS19's label files, uint16 with a qform only."""
    label = (hu > 100).astype(np.uint16)
    image = nib.Nifti1Image(label, affine)
    image.set_sform(None, 0)
    image.set_qform(affine, 1)
    nib.save(image, tmp_path / "a.nii.gz")
    scan = nifti.read_labels(tmp_path / "a.nii.gz", allowed=(0, 1, 2))
    assert scan.warnings == ()
    assert scan.volume.array.dtype == np.uint8
    np.testing.assert_array_equal(scan.volume.array, label)
    np.testing.assert_allclose(scan.volume.grid.affine, affine, atol=1e-5)


def test_label_scaling_is_applied(put):
    array = np.zeros((20, 20, 20), np.uint8)
    array[2:5] = 100
    scan = nifti.read_labels(put(array, scl_slope=0.01, scl_inter=0), allowed=(0, 1))
    np.testing.assert_array_equal(scan.volume.array, array // 100)


def test_extensions_before_the_voxels_are_skipped(tmp_path, hu, affine):
    image = nib.Nifti1Image(hu, affine)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"note" * 99))
    nib.save(image, tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(nifti.read_ct(tmp_path / "a.nii.gz").volume.array, hu)


def test_an_odd_offset(tmp_path, nifti_bytes, hu):
    data = nifti_bytes(hu, vox_offset=353)
    path = tmp_path / "a.nii"
    path.write_bytes(data[:352] + b"\0" + data[352:])
    np.testing.assert_array_equal(nifti.read_ct(path).volume.array, hu)
    path.write_bytes(nifti_bytes(hu, vox_offset=100))
    with pytest.raises(InputError, match="begin at byte 100"):
        nifti.read_ct(path)


def test_the_hash_is_of_the_files_bytes(tmp_path, put, hu):
    import hashlib

    path = put(hu)
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    assert nifti.read_ct(path).sha256 == expected
    assert nifti.ct_from(str(path)).sha256 == expected


def test_ct_from_image_and_array(put, hu, affine):
    path = put(hu)
    image = nib.load(path)
    fresh = nib.Nifti1Image(hu, affine)
    for given in (path, image, fresh, (hu, affine), (hu.astype(float), affine)):
        scan = nifti.ct_from(given)
        np.testing.assert_array_equal(scan.volume.array, hu)
        np.testing.assert_array_equal(scan.volume.grid.affine, affine)
        assert scan.warnings == ()
    assert nifti.ct_from(image).path == path
    assert nifti.ct_from(fresh).path is None


def test_ct_from_arrays_hashes_what_it_was_given(hu, affine):
    moved = affine.copy()
    moved[1, 3] += 1e-3
    other = hu.copy()
    other[0, 0, 0] += 1
    first = nifti.ct_from((hu, affine)).sha256
    assert nifti.ct_from((np.asfortranarray(hu), affine)).sha256 == first
    hashes = {nifti.ct_from(g).sha256 for g in [(hu, moved), (other, affine)]}
    assert len(hashes | {first}) == 3


def test_ct_from_checks_the_same(put, hu, affine):
    for given, word in [
        ((np.zeros_like(hu), affine), "every voxel is 0"),
        ((hu[0], affine), "several slices"),
        ((np.stack([hu, hu], -1), affine), "several slices"),
        ((hu, affine * np.nan), "NaN"),
        ((hu, np.zeros((4, 4))), "singular"),
        ((hu, affine * 2), "last row"),
        ((hu * np.float32(0.0001), affine), "0 to 1"),
        ((hu.astype(complex), affine), "complex"),
    ]:
        with pytest.raises(InputError, match=word):
            nifti.ct_from(given)
    path = put(hu)
    path.write_bytes(path.read_bytes()[:-4])  # nibabel alone would not see it
    with pytest.raises(InputError, match="truncated"):
        nifti.ct_from(nib.load(path))


def test_an_image_with_a_changed_affine_keeps_the_change(put, hu, affine):
    image = nib.load(put(hu))
    moved = affine.copy()
    moved[0, 3] += 5
    changed = nib.Nifti1Image(image.dataobj, moved, image.header)
    np.testing.assert_array_equal(nifti.ct_from(changed).volume.grid.affine, moved)


@pytest.mark.parametrize("name", ["m.nii.gz", "m.nii"])
def test_42_a_mask_keeps_the_geometry(tmp_path, affine, name):
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_euler("xyz", (12, -5, 3), degrees=True).as_matrix()
    affine[:3, :3] = turn @ affine[:3, :3] * 0.26
    affine[:3, 3] = (-177.95632935, 11.31900024, 94.30175781)
    grid = Grid((30, 20, 10), affine)
    mask = np.random.default_rng(0).integers(0, 3, grid.shape)
    nifti.write_mask(tmp_path / name, mask, grid)
    image = nib.load(tmp_path / name)
    assert image.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(image.dataobj), mask)
    for found in (image.affine, image.get_sform(), image.get_qform()):
        np.testing.assert_allclose(found, affine, atol=1e-5)
    assert image.header["sform_code"] == image.header["qform_code"] == 1
    np.testing.assert_allclose(image.header.get_zooms(), grid.spacing_mm, atol=1e-5)
    np.testing.assert_array_equal(
        nifti.read_labels(tmp_path / name, (0, 1, 2)).volume.array, mask
    )


@pytest.mark.parametrize(
    ("origin", "version", "off"),
    [(-900, 1, 0), (-900.1, 1, 5e-5), (-16000.1, 1, 1e-3), (-60000.0015, 2, 1e-9)],
)
def test_42_an_affine_that_float32_would_change_comes_as_nifti_2(
    tmp_path, affine, origin, version, off
):
    """And only then: ITK's programs open NIfTI-1, whatever a DICOM's decimals."""
    affine[0, 3] = origin
    mask = np.ones((3, 4, 5), np.uint8)
    nifti.write_mask(tmp_path / "m.nii.gz", mask, Grid(mask.shape, affine))
    found = nib.load(tmp_path / "m.nii.gz")
    assert type(found).__name__ == f"Nifti{version}Image"
    np.testing.assert_allclose(found.affine, affine, rtol=0, atol=off)
    np.testing.assert_array_equal(np.asarray(found.dataobj), mask)
    again = nifti.read_labels(tmp_path / "m.nii.gz").volume
    np.testing.assert_array_equal(again.array, mask)


def test_42_more_voxels_than_16_bits_count_come_as_nifti_2(tmp_path):
    grid = Grid((40000, 2, 2), np.diag([0.03, 1, 1, 1.0]))
    mask = np.zeros(grid.shape, np.uint8)
    mask[39999] = 1
    nifti.write_mask(tmp_path / "m.nii", mask, grid)
    found = nib.load(tmp_path / "m.nii")
    np.testing.assert_array_equal(np.asarray(found.dataobj), mask)


@pytest.mark.parametrize("shift", [0, 0.1], ids=["float32", "decimals"])
def test_42_a_mask_opens_in_itk(tmp_path, affine, shift):
    itk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")
    affine[:3, 3] += shift
    grid = Grid((8, 6, 4), affine)
    mask = np.arange(192, dtype=np.uint8).reshape(grid.shape)
    nifti.write_mask(tmp_path / "m.nii.gz", mask, grid)
    image = itk.ReadImage(str(tmp_path / "m.nii.gz"))
    np.testing.assert_allclose(image.GetSpacing(), grid.spacing_mm, atol=1e-5)
    lps = np.array(image.TransformIndexToPhysicalPoint((3, 2, 1)))
    np.testing.assert_allclose(lps * (-1, -1, 1), grid.to_mm((3, 2, 1)), atol=1e-4)
    np.testing.assert_array_equal(itk.GetArrayFromImage(image), mask.T)


def test_writing_in_slabs_is_writing_at_once(tmp_path, monkeypatch, hu, affine):
    grid = Grid(hu.shape, affine)
    nifti.write_image(tmp_path / "a.nii.gz", hu, grid)
    monkeypatch.setattr(nifti, "SLAB_BYTES", 10000)
    nifti.write_image(tmp_path / "b.nii.gz", np.asfortranarray(hu), grid)
    a, b = ((tmp_path / f"{n}.nii.gz").read_bytes() for n in "ab")
    assert gzip.decompress(a) == gzip.decompress(b)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_the_same_mask_gives_the_same_bytes(tmp_path, affine, name):
    mask = np.zeros((9, 9, 9), np.uint8)
    found = set()
    for _ in range(2):
        nifti.write_mask(tmp_path / name, mask, Grid(mask.shape, affine))
        found.add((tmp_path / name).read_bytes())
    assert len(found) == 1
    if name.endswith("gz"):
        assert found.pop()[4:8] == bytes(4)  # no time stamp


@pytest.mark.parametrize("dtype", [np.int16, np.int64, np.float32, np.float64])
def test_images_are_int16_or_float32(tmp_path, hu, affine, dtype):
    nifti.write_image(tmp_path / "a.nii.gz", hu.astype(dtype), Grid(hu.shape, affine))
    image = nib.load(tmp_path / "a.nii.gz")
    whole = np.dtype(dtype).kind == "i"
    assert image.get_data_dtype() == (np.int16 if whole else np.float32)
    np.testing.assert_array_equal(nifti.read_ct(tmp_path / "a.nii.gz").volume.array, hu)


def test_what_cannot_be_written(tmp_path, affine):
    grid = Grid((4, 4, 4), affine)
    mask = np.zeros((4, 4, 4), int)
    with pytest.raises(ValueError, match="name must end"):
        nifti.write_mask(tmp_path / "a.png", mask, grid)
    with pytest.raises(ValueError, match=r"\(4, 4, 3\)"):
        nifti.write_mask(tmp_path / "a.nii", mask[..., 1:], grid)
    with pytest.raises(ValueError, match="uint8"):
        nifti.write_mask(tmp_path / "a.nii", mask - 1, grid)
    with pytest.raises(ValueError, match="uint8"):
        nifti.write_mask(tmp_path / "a.nii", mask + 256, grid)
    with pytest.raises(ValueError, match="int16"):
        nifti.write_image(tmp_path / "a.nii", mask + 40000, grid)
    assert not list(tmp_path.iterdir())


def test_34_a_failed_write_leaves_the_older_file_and_nothing_else(
    tmp_path, affine, monkeypatch
):
    grid, path = Grid((4, 4, 4), affine), tmp_path / "a.nii.gz"
    nifti.write_mask(path, np.ones((4, 4, 4), np.uint8), grid)
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        nifti.write_mask(path, np.zeros((4, 4, 4), np.uint8), grid)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.nii.gz"]


def test_a_file_has_its_name_only_once_it_is_whole(tmp_path):
    with replacing(tmp_path / "a.bin") as file:
        file.write(b"half")
        file.flush()
        assert not (tmp_path / "a.bin").exists()
        assert len(list(tmp_path.iterdir())) == 1
    assert (tmp_path / "a.bin").read_bytes() == b"half"
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "b.bin") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("count", [1, 2])
def test_scaled_volumes_are_read_back_by_nibabel(tmp_path, count):
    grid = Grid((4, 5, 6), np.diag([3.0, 2.0, 1.0, 1.0]))
    volumes = [
        np.random.default_rng(i).integers(0, 65536, grid.shape).astype(np.uint16)
        for i in range(count)
    ]
    nifti.write_scaled(tmp_path / "x.nii.gz", volumes, grid, 1 / 65535)
    image = nib.load(tmp_path / "x.nii.gz")
    assert image.get_data_dtype() == np.uint16
    got = image.get_fdata()
    assert got.shape == (grid.shape if count == 1 else (*grid.shape, 2))
    np.testing.assert_allclose(got, np.squeeze(np.stack(volumes, -1)) / 65535, 1e-6)
    np.testing.assert_allclose(image.affine, grid.affine)
