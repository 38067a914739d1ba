"""Bad and odd files, each made for its test; the number is the fault's row."""

import gzip
import itertools
import os
import tracemalloc

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vnet_jax.ct import checks, header, nifti, stream
from vnet_jax.ct.geometry import Grid, is_oblique
from vnet_jax.errors import InputError


def refused(path, *words, read=nifti.read_ct):
    """The one line of the refusal, with the file's name and each of the words."""
    with pytest.raises(InputError) as caught:
        read(path)
    line = str(caught.value)
    assert "\n" not in line and line.startswith(str(path))
    assert caught.value.remedy
    for word in words:
        assert word in line
    return line


def warned(scan, *words):
    assert any(all(word in line for word in words) for line in scan.warnings), (
        scan.warnings
    )


def test_a_healthy_file_has_no_warning(put, hu):
    scan = nifti.read_ct(put(hu))
    assert scan.warnings == ()
    assert scan.volume.array.dtype == np.int16
    np.testing.assert_array_equal(scan.volume.array, hu)


@pytest.mark.parametrize(
    "data, word",
    [
        (b"", "empty"),
        (b"no image at all" * 100, "not a NIfTI"),
        (b"\x5c\x01\x00\x00", "not a NIfTI"),  # the size of a header, and no more
        (bytes(128) + b"DICM" + bytes(999), "DICOM"),
        # Without the time of day, which would stand in the test's name.
        (gzip.compress(b"text" * 999, mtime=0), "not a NIfTI"),
    ],
)
def test_1_empty_or_no_nifti(tmp_path, data, word):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(data)
    refused(path, word)


def test_1_no_such_file_and_a_folder(tmp_path):
    refused(tmp_path / "a.nii.gz", "No such file")
    refused(tmp_path, "directory")


def test_1_half_of_a_pair(put, hu):
    refused(put(hu, magic=b"ni1"), "pair")


@pytest.mark.parametrize("share", [0.0005, 0.1, 0.6, 0.99])
def test_2_truncated_gz(put, hu, share):
    path = put(hu)
    data = path.read_bytes()
    path.write_bytes(data[: max(4, int(share * len(data)))])
    refused(path, "truncated")


def test_3_a_flipped_bit(put, hu):
    path = put(hu)
    data = path.read_bytes()
    for index in range(20, len(data) - 8, len(data) // 40):
        broken = bytearray(data)
        broken[index] ^= 1 << (index % 8)
        path.write_bytes(broken)
        with pytest.raises(InputError, match=r"checksum|truncated|unfolds"):
            nifti.read_ct(path)


def test_3_a_flipped_bit_in_a_stored_block(tmp_path, nifti_bytes, hu):
    """Level 0 stores the voxels as they are: only the checksum can tell."""
    path = tmp_path / "ct.nii.gz"
    data = bytearray(gzip.compress(nifti_bytes(hu), 0))
    data[5000] ^= 4
    path.write_bytes(data)
    refused(path, "checksum")


@pytest.mark.parametrize("index", [-8, -6, -4, -1])
def test_4_wrong_trailer(put, hu, index):
    path = put(hu)
    data = bytearray(path.read_bytes())
    data[index] ^= 1
    path.write_bytes(data)
    refused(path, "checksum")


@pytest.mark.parametrize("count", [1, 4, 8])
def test_4_cut_trailer(put, hu, count):
    path = put(hu)
    path.write_bytes(path.read_bytes()[:-count])
    refused(path, "truncated")


def test_5_the_first_bytes_decide_not_the_name(tmp_path, nifti_bytes, hu):
    plain, zipped = tmp_path / "a.nii.gz", tmp_path / "b.nii"
    plain.write_bytes(nifti_bytes(hu))
    zipped.write_bytes(gzip.compress(nifti_bytes(hu)))
    for path in (plain, zipped):
        scan = nifti.read_ct(path)
        warned(scan, "whatever its name")
        np.testing.assert_array_equal(scan.volume.array, hu)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("missing", [1, 20000])
def test_6_fewer_bytes_than_promised(tmp_path, nifti_bytes, hu, name, missing):
    data = nifti_bytes(hu)[:-missing]
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    refused(path, "truncated", str(len(data)), str(len(data) + missing))


@pytest.mark.parametrize(
    "dim", [[3, 0, 9, 9, 1, 1, 1, 1], [3, 9, -5, 9, 1, 1, 1, 1], [0] * 8, [9] * 8]
)
def test_7_impossible_dimensions(put, hu, dim):
    refused(put(hu, dim=dim), "impossible dimensions")


def test_7_beyond_memory_is_refused_before_allocation(put, hu, monkeypatch):
    huge = put(hu, dim=[3, 32767, 32767, 32767, 1, 1, 1, 1])
    monkeypatch.setattr(stream.np, "empty", None)  # whoever allocates, fails
    refused(huge, "GB are free", "GB")


def test_7_the_limit_is_the_memory_that_is_free(put, hu, monkeypatch):
    need = hu.size * (2 + 4)
    monkeypatch.setattr(header, "available_memory", lambda: need)
    nifti.read_ct(put(hu))
    monkeypatch.setattr(header, "available_memory", lambda: need - 1)
    refused(put(hu), "free")


@pytest.mark.parametrize(
    ("value", "said"),
    [(v, "NaN or Inf") for v in (np.nan, np.inf, -np.inf)]
    + [(v, "NaN, Inf or impossible") for v in (2.5e38, -1.1e6)],
)
def test_8_few_not_finite_become_air_many_are_refused(put, hu, value, said):
    array = hu.astype(np.float32)
    few = int(array.size * 1e-3)
    array.ravel()[:few] = value
    scan = nifti.read_ct(put(array))
    warned(scan, f"{few} {said} voxels", "-1024")
    assert (scan.volume.array.ravel()[:few] == -1024).all()
    np.testing.assert_array_equal(scan.volume.array.ravel()[few:], hu.ravel()[few:])
    array.ravel()[few] = value
    refused(put(array), f"{few + 1} {said} voxels")


def test_8_a_float64_too_large_for_float32_is_not_finite(put, hu):
    array = hu.astype(np.float64)
    array[0, 0, 0] = 1e300
    warned(nifti.read_ct(put(array)), "1 NaN or Inf")


def test_9_constant_or_only_air(put, hu):
    refused(put(np.full_like(hu, 40)), "every voxel is 40")
    refused(put(np.full(hu.shape, np.float32(0))), "every voxel is 0")
    air = np.random.default_rng(0).normal(-1000, 20, hu.shape).astype(np.int16)
    refused(put(air), "only air")


@pytest.mark.parametrize(
    "change, word",
    [
        (lambda a: (a + 1024) / 3000, "0 to 1"),
        (lambda a: np.clip(a / 250, -1, 1), "0 to 1"),
        (lambda a: (a - a.mean()) / a.std(), "0 to 1"),
        (lambda a: np.clip((a + 160) / 400, 0, 1) * 255, "256 grey values"),
        (lambda a: np.clip((a + 160) / 400, 0, 1) * 255 - 128, "256 grey values"),
        (lambda a: np.clip(a, -1000, 3000) + 1024, "1024 too high"),
        (lambda a: np.maximum(a + 1024, 0), "1024 too high"),
        (lambda a: np.clip(a, -150, 200) * 2 + 400, "below 0"),
        (lambda a: a - 1024, "near 0|only air"),
    ],
)
def test_10_no_hounsfield_units(put, hu, change, word):
    array = np.asarray(change(hu.astype(np.float32)), np.float32)
    line = refused(put(array), "values from")
    assert any(w in line for w in word.split("|"))


def test_10_offset_with_padding_far_below(put, hu):
    """Some scanners pad outside the round field of view with -2000."""
    array = hu + np.int16(1024)
    array[:, :6, :6] = -2000
    refused(put(array), "1024 too high")
    array = hu.copy()
    array[:, :6, :6] = -2000
    assert nifti.read_ct(put(array)).warnings == ()


@pytest.mark.parametrize("window", [(-160, 240), (-250, 250)])
def test_10_a_window_is_doubtful(put, hu, window):
    warned(nifti.read_ct(put(hu.clip(*window))), "clipped")


def test_10_more_bone_than_a_body_has_is_doubtful(put, hu):
    warned(nifti.read_ct(put(-hu)), "as dense as hard bone")


def test_10_a_small_field_of_view_without_air_is_a_ct(put):
    rng = np.random.default_rng(3)
    array = rng.normal(45, 20, (40, 40, 40))
    array[:, :12] = rng.normal(-100, 15, (40, 12, 40))
    array[10:25, 20:35, 10:30] = rng.normal(190, 20, (15, 15, 20))
    nifti.read_ct(put(array.astype(np.int16)))  # not refused


@pytest.mark.parametrize("slope", [0.0, np.nan, 1.0])
def test_11_no_slope_none_applied(put, hu, slope):
    scan = nifti.read_ct(put(hu, scl_slope=slope, scl_inter=0 if slope == 1 else 7))
    assert scan.volume.array.dtype == np.int16
    np.testing.assert_array_equal(scan.volume.array, hu)


def test_11_a_slope_or_intercept_that_is_no_number(put, hu):
    refused(put(hu, scl_slope=np.inf, scl_inter=0), "scl_slope inf")
    refused(put(hu, scl_slope=1, scl_inter=np.nan), "scl_inter nan")


def test_12_slope_and_intercept_exactly_once(put, hu):
    even = hu.clip(-1024) // 2 * 2
    stored = ((even + 1024) // 2).astype(np.uint16)
    scan = nifti.read_ct(put(stored, scl_slope=2, scl_inter=-1024))
    assert scan.volume.array.dtype == np.int16
    np.testing.assert_array_equal(scan.volume.array, even)


def test_12_scaling_takes_no_more_memory_than_is_asked_for(put, hu, monkeypatch):
    """The stored voxels, what the header's check adds for HU, and a slab."""
    monkeypatch.setattr(checks, "SAMPLES", 10_000)
    stored = np.tile((hu.clip(-1024) + 1024).astype(np.uint16), (3, 3, 3))
    path = put(stored, "ct.nii", scl_slope=1, scl_inter=-1024)
    tracemalloc.start()
    nifti.read_ct(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < (2 + 4) * stored.size + 3 * stream.READ


def test_12_a_fractional_slope_gives_float32(put, hu):
    scan = nifti.read_ct(put(hu, scl_slope=0.5, scl_inter=-1.5))
    assert scan.volume.array.dtype == np.float32
    np.testing.assert_array_equal(scan.volume.array, hu / 2 - 1.5)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("dtype", "i2 i4 i8 f4 f8".split())
def test_13_dtypes_byte_orders_and_versions(put, hu, dtype, order, version):
    stored = hu.astype(dtype)
    path = put(stored, name="a.nii", order=order, version=version)
    volume = nifti.read_ct(path).volume
    np.testing.assert_array_equal(volume.array, hu)
    assert volume.array.dtype == (np.float32 if dtype[0] == "f" else np.int16)
    assert volume.array.dtype.isnative


@pytest.mark.parametrize("dtype", "u1 u2 u4 u8 i1".split())
def test_13_unsigned_and_short_integers(put, hu, dtype):
    if dtype.endswith("1"):
        offset = -1000 if dtype == "u1" else 0
        stored = ((hu.clip(-1000, 1000) - offset) // 8).astype(dtype)
        scan = nifti.read_ct(put(stored, scl_slope=8, scl_inter=offset))
        expected = stored.astype(int) * 8 + offset
    else:
        stored = (hu.astype(int) + 2000).astype(dtype)
        scan = nifti.read_ct(put(stored, scl_slope=1, scl_inter=-2000))
        expected = hu
    np.testing.assert_array_equal(scan.volume.array, expected)


def test_13_colours_and_complex_numbers(put, hu):
    refused(put(hu, datatype=128), "datatype 128")
    refused(put(hu, datatype=32), "datatype 32")
    refused(put(hu, datatype=999), "datatype 999")


def test_14_one_volume_is_mended_several_are_refused(put, hu):
    scan = nifti.read_ct(put(hu[..., None]))
    warned(scan, "4-D with one volume")
    np.testing.assert_array_equal(scan.volume.array, hu)
    refused(put(np.stack([hu, hu], -1)), "2 volumes")


def test_15_two_dimensions_or_one_slice(put, hu):
    refused(put(hu[0]), "several slices")
    refused(put(hu[:, :, :1]), "several slices")
    refused(put(hu[:1]), "several slices")


@pytest.mark.parametrize("bad", [0, -3, np.nan])
def test_16_pixdim_from_the_sform_or_refused(put, hu, affine, bad):
    pixdim = [1, bad, 2.75, 2.5, 0, 0, 0, 0]
    scan = nifti.read_ct(put(hu, pixdim=pixdim))
    warned(scan, "taken from the sform")
    assert scan.volume.grid.spacing_mm == (3, 2.75, 2.5)
    line = refused(put(hu, pixdim=pixdim, sform_code=0, qform_code=1), "no sform")
    assert "spacing" in line


@pytest.mark.parametrize("row", ["srow_x", "srow_z"])
def test_17_sform_nan_or_singular(put, hu, row):
    refused(put(hu, **{row: [0, 0, 0, 5]}), "singular")
    refused(put(hu, **{row: [np.nan, 0, 0, 0]}), "NaN")


def test_17_no_place_at_all(put, hu):
    refused(put(hu, sform_code=0, qform_code=0), "neither sform nor qform")


@pytest.mark.parametrize("shift, doubt", [(0.05, False), (0.2, True)])
def test_18_sform_and_qform_differ(tmp_path, hu, affine, shift, doubt):
    image = nib.Nifti1Image(hu, affine)
    moved = affine.copy()
    moved[0, 3] += shift
    image.set_qform(moved, 1)
    image.set_sform(affine, 1)
    nib.save(image, tmp_path / "a.nii.gz")
    scan = nifti.read_ct(tmp_path / "a.nii.gz")
    assert bool(scan.warnings) == doubt
    if doubt:
        warned(scan, "sform and qform differ")
    np.testing.assert_allclose(scan.volume.grid.affine, affine, atol=1e-6)


def test_18_pixdim_and_sform_differ(put, hu):
    scan = nifti.read_ct(put(hu, pixdim=[1, 5, 2.75, 2.5, 0, 0, 0, 0]))
    warned(scan, "pixdim 5 x 2.75 x 2.5 mm", "the sform counts")


def test_19_oblique_is_read_as_it_is(put, hu, affine):
    tilted = affine.copy()
    tilted[:3, :3] = (
        Rotation.from_euler("x", 12, degrees=True).as_matrix() @ (affine[:3, :3])
    )
    scan = nifti.read_ct(put(hu, affine=tilted))
    assert is_oblique(scan.volume.grid)
    warned(scan, "oblique axes")
    np.testing.assert_allclose(scan.volume.grid.affine, tilted, atol=1e-4)


def test_20_sheared_is_refused(put, hu, affine):
    affine[1, 0] = 0.2  # the slices slide: tan = 0.2 / 3
    refused(put(hu, affine=affine, pixdim=[1, 3, 2.75, 2.5, 0, 0, 0, 0]), "sheared")


@pytest.mark.parametrize("spacing", [0.3, 10.0])
def test_23_thin_and_thick_slices_work(put, make_body, spacing):
    count = round(120 / spacing)
    affine = np.diag([-2.75, -2.75, spacing, 1])
    array = make_body((count, 40, 40)).transpose(2, 1, 0)
    scan = nifti.read_ct(put(array, affine=affine))
    assert scan.warnings == ()
    assert scan.volume.grid.spacing_mm == pytest.approx((2.75, 2.75, spacing))


@pytest.mark.parametrize("far_mm", [2e5, -1e15, 1e30])
def test_23_far_from_the_world_s_origin(put, hu, affine, far_mm):
    affine[1, 3] = far_mm
    said = "beyond measure" if abs(far_mm) > 1e9 else "more than 100 m away"
    refused(put(hu, affine=affine), said)
    affine[1, 3] = 9e4
    assert nifti.read_ct(put(hu, affine=affine)).warnings == ()


@pytest.mark.parametrize("value", [1e30, -3e38, np.inf])
def test_18_a_qform_beyond_measure_is_no_rotation(put, hu, value):
    scan = nifti.read_ct(put(hu, qform_code=1, qoffset_x=value))
    warned(scan, "the qform is no rotation")


def test_23_extent_and_spacing(put, hu, affine):
    small, thin, huge = affine.copy(), affine.copy(), affine.copy()
    small[:3, 0] *= 99 / 108
    thin[:3, 2] *= 0.1
    huge[:3, 0] *= 2001 / 108
    warned(nifti.read_ct(put(hu, affine=small)), "less than 100 mm", "99 x 110 x 110")
    warned(nifti.read_ct(put(hu, affine=thin)), "unusual spacing")
    refused(put(hu, affine=huge), "larger than 2 m")
    long, huge[:3, 0] = np.repeat(hu, 4, axis=0), huge[:3, 0] / 4
    huge[:3, 0] *= 1999 / 2001
    nifti.read_ct(put(long, affine=huge))
    huge[:3, 1] *= 990 / 110
    nifti.read_ct(put(long, affine=huge))
    huge[:3, 1] *= 1010 / 990
    refused(put(long, affine=huge), "wider than a scanner")


@pytest.mark.parametrize("mm", [0.009, 1.8e-11, 51])
def test_23_voxels_that_no_ct_has(put, hu, affine, mm):
    affine[:3, 2] *= mm / np.linalg.norm(affine[:3, 2])
    few = hu[..., ::2]
    refused(put(few, affine=affine), "no CT has voxels of")


def test_24_label_on_another_grid(put, hu, affine):
    image = nifti.read_ct(put(hu))
    label = np.zeros(hu.shape, np.uint8)

    def pair(array, move_mm=0.0):
        moved = affine.copy()
        moved[1, 3] += move_mm
        path = put(array, name="label.nii.gz", affine=moved)
        nifti.check_same_grid(image, nifti.read_labels(path))

    pair(label)
    pair(label, 0.0009)
    with pytest.raises(InputError, match=r"label.nii.gz: .* 0.002 mm off"):
        pair(label, 0.002)
    with pytest.raises(InputError, match="voxels, its image"):
        pair(label[:-1])


def test_24_a_spacing_that_drifts_is_another_grid(put, hu, affine):
    """0.0001 mm a voxel is 0.0043 mm at the last of 44."""
    image = nifti.read_ct(put(hu))
    affine[0, 2] -= 1e-4
    label = put(np.zeros(hu.shape, np.uint8), name="label.nii.gz", affine=affine)
    with pytest.raises(InputError, match=r"0\.0043 mm off"):
        nifti.check_same_grid(image, nifti.read_labels(label))


@pytest.mark.parametrize("bad", [255, 1.5, -1, 3, np.nan, np.inf])
def test_25_label_values_outside(put, bad):
    kind = np.int16 if float(bad).is_integer() else np.float32
    array = np.zeros((40, 40, 40), kind)
    array[3, 4, 5], array[7] = bad, 2

    def read(path):
        return nifti.read_labels(path, allowed=(0, 1, 2))

    refused(put(array), f"label values {bad:g};", "[0, 1, 2]", read=read)


def test_25_values_are_listed(put):
    array = np.zeros((20, 20, 20), np.int16)
    array[0, 0, :12] = range(100, 112)

    def read(path):
        return nifti.read_labels(path, allowed=(0, 1, 2, 3))

    refused(put(array), "100, 101, 102, 103, 104, 105, 106, 107, ...", read=read)


@pytest.mark.parametrize("bad", [1.5, -1, np.nan, np.inf])
def test_25_any_integer_is_still_an_integer(put, bad):
    array = np.zeros((20, 20, 20), np.float32)
    array[1, 2, 3] = bad
    refused(put(array), "integers from 0", read=nifti.read_labels)


@pytest.mark.parametrize("dtype", "u1 u2 i2 i4 f4 f8".split())
def test_25_labels_of_any_dtype_are_the_same(put, dtype):
    array = np.zeros((20, 20, 20), np.uint8)
    array[4:9, 5:9, 6:9], array[5, 6, 7] = 1, 2
    scan = nifti.read_labels(put(array.astype(dtype)), allowed=(0, 1, 2))
    assert scan.volume.array.dtype == np.uint8
    np.testing.assert_array_equal(scan.volume.array, array)


def test_25_large_label_values_keep_their_place(put):
    array = np.zeros((20, 20, 20), np.int32)
    array[1, 2, 3], array[4, 5, 6] = 300, 70000
    np.testing.assert_array_equal(nifti.read_labels(put(array)).volume.array, array)


def test_26_an_empty_label_map_is_one(put):
    scan = nifti.read_labels(put(np.zeros((20, 20, 20), np.uint16)), allowed=(0, 1, 2))
    assert not scan.volume.array.any()


def test_43_several_members(tmp_path, nifti_bytes, hu):
    data = nifti_bytes(hu)
    cuts = [0, 3, 400, 20000, len(data)]
    members = [gzip.compress(data[a:b]) for a, b in itertools.pairwise(cuts)]
    path = tmp_path / "a.nii.gz"
    path.write_bytes(b"".join(members) + bytes(512))  # and padding, as tar leaves it
    np.testing.assert_array_equal(nifti.read_ct(path).volume.array, hu)
    broken = bytearray(members[-1])
    broken[-6] ^= 1
    path.write_bytes(b"".join(members[:-1]) + broken)
    refused(path, "checksum")
    path.write_bytes(b"".join(members) + b"no member")
    refused(path)


def test_43_a_bomb_is_refused_before_it_unfolds(tmp_path, nifti_bytes, hu, monkeypatch):
    """1 GB of zeros in 1 MB: no more than the header's bytes, 1 MB and a piece pass."""
    zeros = gzip.compress(bytes(1 << 24), 9)
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(nifti_bytes(hu)) + zeros * 64)
    seen = []

    def fill(whole, filled, piece, fill=stream._fill):
        seen.append(len(piece))
        return fill(whole, filled, piece)

    monkeypatch.setattr(stream, "_fill", fill)
    refused(path, "unfolds to more")
    assert sum(seen) <= len(nifti_bytes(hu)) + stream.SLACK + stream.PIECE


def test_43_a_bomb_whose_header_promises_it(put, hu, affine, tmp_path, monkeypatch):
    """What the header says would fit in memory; no CT has become 900 times smaller."""
    affine[:3, :3] /= 20
    zeros = gzip.compress(bytes(1 << 24), 9) * 25
    path = put(hu[:0], dim=[3, 500, 500, 800, 1, 1, 1, 1], affine=affine)
    path.write_bytes(path.read_bytes() + zeros)
    monkeypatch.setattr(header, "available_memory", lambda: 1 << 40)
    monkeypatch.setattr(stream.np, "empty", None)  # whoever allocates, fails
    refused(path, "would unfold to 0.4 GB")


def test_43_labels_may_become_that_small(put, affine, monkeypatch):
    monkeypatch.setattr(stream, "LARGE", 1 << 10)
    path = put(np.zeros((64, 64, 64), np.uint8), affine=affine)
    assert path.stat().st_size * 200 < 64**3
    nifti.read_labels(path)
    refused(path, "would unfold")


def test_43_a_bomb_in_place_of_a_header(tmp_path):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(bytes(1 << 26), 9))
    refused(path, "not a NIfTI")


def test_45_paths_links_and_read_only_input(tmp_path, put, hu):
    folder = tmp_path / "Aufnahme 3 ö Nieré 腎"
    folder.mkdir()
    path = folder / "c t.nii.gz"
    os.replace(put(hu), path)
    path.chmod(0o444)
    before = path.read_bytes()
    link = tmp_path / "link.nii.gz"
    link.symlink_to(path)
    for name in (path, link, str(link)):
        np.testing.assert_array_equal(nifti.read_ct(name).volume.array, hu)
    assert path.read_bytes() == before
    mask = np.zeros(hu.shape, np.uint8)
    nifti.write_mask(folder / "m.nii.gz", mask, Grid(hu.shape, np.eye(4)))
    assert sorted(p.name for p in folder.iterdir()) == ["c t.nii.gz", "m.nii.gz"]
