import nibabel as nib
import numpy as np
import pytest

from vnet_jax.ct.geometry import Grid
from vnet_jax.data.cases import find_cases
from vnet_jax.data.prepare import GridSpec, histogram_hu, prepare, read_source
from vnet_jax.errors import InputError

VALUES = (0, 1, 2)


def prepared(root, spec, values=VALUES):
    (case,) = find_cases(root)
    return prepare(read_source(case, values), spec)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "kits"


def test_on_its_own_spacing_nothing_changes(add_case, make_anatomy, root):
    add_case()
    image, label = make_anatomy()
    case = prepared(root, GridSpec((3, 1, 1)))
    np.testing.assert_array_equal(case.image, image)
    np.testing.assert_array_equal(case.label, label)
    assert case.image.dtype == np.int16
    assert case.label.dtype == np.uint8


def test_facts_by_hand(add_case, root, foreground_box):
    add_case()
    facts = prepared(root, GridSpec((3, 1, 1))).facts
    tumour = 2 * 4 * 4
    kidney = 2 * (6 * 12 * 8) - tumour
    assert facts["voxels"] == [12 * 40 * 44 - kidney - tumour, kidney, tumour]
    assert facts["foreground_box"] == [list(part) for part in foreground_box]
    assert facts["cut_by_picture"] is False
    # 180 HU is in the bin [180, 190), the 48th from -300; 60 HU in the 36th.
    for tissue, place, count in (("kidney", 48, kidney), ("tumour", 36, tumour)):
        assert facts["histograms"][tissue][place] == count
        assert sum(facts["histograms"][tissue]) == count


def test_blocks_are_means_and_majorities(add_case, make_anatomy, root):
    add_case()
    image, label = make_anatomy()
    case = prepared(root, GridSpec((3, 1, 1), (1, 4, 4)))
    assert case.image.shape == case.label.shape == (12, 10, 11)
    means = image.reshape(12, 10, 4, 11, 4).mean(axis=(2, 4))
    np.testing.assert_array_equal(case.image, np.rint(means))
    # Rows 8 to 11 are half kidney, so every other block is; 12 to 15 all kidney but for
    # the tumour in the columns 10 to 13.
    assert case.label[3:5, 2, 2].tolist() == [1, 0]
    assert case.label[3, 3, 2] == 1
    assert case.label[5, 4, 2] == label[5, 16, 8]
    assert case.grid.spacing_mm == pytest.approx((3, 4, 4))


def test_a_ramp_stays_where_it_is_in_the_world(add_case, root, kits_affine):
    shape = (10, 40, 44)
    z, y, x = (n.astype(float) for n in np.indices(shape))
    add_case(image=(20 * z + 5 * y - 4 * x).astype(np.int16), label=None)
    case = prepared(root, GridSpec((2.0, 1.5, 1.25)))
    assert case.grid.spacing_mm == pytest.approx((2.0, 1.5, 1.25), rel=1e-12)
    source = Grid(shape, kits_affine)
    places = source.to_index(
        case.grid.to_mm(np.moveaxis(np.indices(case.grid.shape), 0, -1))
    )
    inside = ((places >= 0) & (places <= np.array(shape) - 1)).all(axis=-1)
    expected = places @ np.array([20, 5, -4])
    assert inside.mean() > 0.7
    assert np.abs(case.image - expected)[inside].max() <= 0.5 + 1e-3


def test_labels_are_the_nearest_voxels(add_case, make_anatomy, root, kits_affine):
    add_case()
    _, label = make_anatomy()
    case = prepared(root, GridSpec((2.1, 1.37, 1.23)))
    source = Grid(label.shape, kits_affine)
    places = source.to_index(
        case.grid.to_mm(np.moveaxis(np.indices(case.grid.shape), 0, -1))
    )
    # Voxels half way between two may go either way.
    clear = (np.abs(places % 1 - 0.5) > 1e-3).all(axis=-1)
    nearest = np.rint(places).astype(int)
    nearest = np.clip(nearest, 0, np.array(label.shape) - 1)
    expected = label[tuple(np.moveaxis(nearest, -1, 0))]
    assert clear.mean() > 0.5
    np.testing.assert_array_equal(case.label[clear], expected[clear])


def test_another_axis_order_is_the_same_case(add_case, root, save_nifti, tmp_path):
    folder = add_case()
    spec = GridSpec((2.0, 1.5, 1.5), (1, 2, 2))
    before = prepared(root, spec)
    for name in ("imaging", "segmentation"):
        image = nib.load(folder / f"{name}.nii.gz")
        ras = nib.as_closest_canonical(image)
        save_nifti(
            tmp_path / "ras" / "x" / f"{name}.nii.gz",
            np.asarray(ras.dataobj),
            ras.affine,
        )
    after = prepared(tmp_path / "ras", spec)
    np.testing.assert_array_equal(after.image, before.image)
    np.testing.assert_array_equal(after.label, before.label)
    np.testing.assert_allclose(after.grid.affine, before.grid.affine, atol=1e-5)


def test_a_label_map_merges_values(add_case, make_anatomy, root):
    _, label = make_anatomy()
    label[7, 12, 9] = 3  # a cyst, as in KiTS21
    add_case(label=label)
    pairs = ((0, 0), (1, 1), (2, 2), (3, 1))
    case = prepared(root, GridSpec((3, 1, 1), labels=pairs), (0, 1, 2, 3))
    assert case.label[7, 12, 9] == 1
    assert case.facts["voxels"][2] == (label == 2).sum()


def test_a_value_outside_the_map_is_refused(add_case, make_anatomy, root):
    _, label = make_anatomy()
    label[0, 0, 0] = 3
    add_case(label=label)
    with pytest.raises(InputError, match=r"segmentation.*3"):
        prepared(root, GridSpec((3, 1, 1)))


def test_a_label_on_another_grid_is_refused(add_case, make_anatomy, root, save_nifti):
    folder = add_case()
    _, label = make_anatomy()
    moved = np.diag([1.0, 1, 1, 1])
    moved[0, 3] = 0.01
    image = nib.load(folder / "imaging.nii.gz")
    save_nifti(folder / "segmentation.nii.gz", label, moved @ image.affine)
    with pytest.raises(InputError, match="segmentation"):
        prepared(root, GridSpec((3, 1, 1)))
    save_nifti(folder / "segmentation.nii.gz", label[:-1], image.affine)
    with pytest.raises(InputError, match="11"):
        prepared(root, GridSpec((3, 1, 1)))


def test_no_tumour_and_no_foreground(add_case, make_anatomy, root):
    _, label = make_anatomy()
    add_case("a", label=np.minimum(label, 1))
    add_case("b", label=0 * label)
    none, empty = (
        prepare(read_source(case, VALUES), GridSpec((3, 1, 1)))
        for case in find_cases(root)
    )
    assert none.facts["voxels"][2] == 0
    assert len(none.facts["voxels"]) == 3
    assert empty.facts["foreground_box"] is None
    assert sum(empty.facts["histograms"]["kidney"]) == 0


@pytest.mark.parametrize("index", [0, -1])
def test_foreground_in_an_end_slice_is_cut(add_case, make_anatomy, root, index):
    _, label = make_anatomy()
    label[index, 12, 9] = 1
    add_case(label=label)
    # Coarse slices would hide one voxel; the source's own slices do not.
    assert prepared(root, GridSpec((9, 4, 4))).facts["cut_by_picture"] is True


def test_cysts_have_their_own_histogram(add_case, make_anatomy, root):
    image, label = make_anatomy()
    cysts = np.zeros_like(label)
    cysts[4:6, 11:13, 31:33] = 1
    image[cysts == 1] = 5
    add_case(image=image, cysts=cysts)
    counts = prepared(root, GridSpec((3, 1, 1))).facts["histograms"]
    assert sum(counts["cyst"]) == counts["cyst"][30] == 8  # [0, 10)


def test_a_test_case_has_no_label_facts(add_case, root):
    add_case(label=None)
    case = prepared(root, GridSpec((3, 1, 1)))
    assert case.label is None
    assert "voxels" not in case.facts
    assert sum(case.facts["histograms"]["all"]) > 0


def test_inputs_are_not_changed(add_case, root):
    add_case()
    (found,) = find_cases(root)
    source = read_source(found, VALUES)
    before = source.ct.array.copy(), source.label.array.copy()
    prepare(source, GridSpec((2.0, 1.5, 1.5), (1, 2, 2)))
    np.testing.assert_array_equal(source.ct.array, before[0])
    np.testing.assert_array_equal(source.label.array, before[1])


def test_histogram_against_numpy():
    hu = np.random.default_rng(0).integers(-1100, 1500, (5, 30, 30)).astype(np.int16)
    expected = np.histogram(hu[hu < 300], np.arange(-300, 301, 10))[0]
    np.testing.assert_array_equal(histogram_hu(hu), expected)


def test_histogram_at_the_ends_of_its_bins():
    hu = np.array([-301, -300, -291, -290, 290, 299, 300, 32767, -32768], np.int16)
    counts = histogram_hu(hu)
    assert (counts[0], counts[1], counts[-1], counts.sum()) == (2, 1, 2, 5)
    assert histogram_hu(np.zeros(0, np.int16)).sum() == 0


def test_a_spec_is_plain_whatever_it_is_made_of():
    one = GridSpec([3, 1, 1], np.array([1, 4, 4]), [[2, 2], [0, 0], [1, 1]])
    two = GridSpec((3.0, 1.0, 1.0), (1, 4, 4))
    assert one == two
    assert one.name == two.name == "3.0x1.0x1.0mm-1x4x4-0to0_1to1_2to2"
    assert one.classes == 3


@pytest.mark.parametrize(
    "args",
    [
        dict(spacing_mm=(3, 1)),
        dict(spacing_mm=(3, 1, -1)),
        dict(spacing_mm=(3, 1, float("nan"))),
        dict(spacing_mm=(3, 1, 1), downsample=(1, 0, 1)),
        dict(spacing_mm=(3, 1, 1), labels=((0, 0), (0, 1))),
        dict(spacing_mm=(3, 1, 1), labels=((0, 0), (1, 256))),
        dict(spacing_mm=(3, 1, 1), labels=((0, -1),)),
    ],
)
def test_a_spec_that_makes_no_sense(args):
    with pytest.raises(InputError):
        GridSpec(**args)


def test_specs_that_differ_have_different_names():
    specs = [
        GridSpec((3, 0.78162497, 0.78162497)),
        GridSpec((3, 0.78162498, 0.78162497)),
        GridSpec((3, 0.78162497, 0.78162497), (1, 4, 4)),
        GridSpec((3, 0.78162497, 0.78162497), labels=((0, 0), (1, 1), (2, 1))),
    ]
    assert len({spec.name for spec in specs}) == len(specs)
