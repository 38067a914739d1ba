import matplotlib.image
import numpy as np
import pytest

from vnet_jax.ct.geometry import Grid, Volume
from vnet_jax.reports import canvas, pictures
from vnet_jax.reports.pictures import case_picture

SHAPE = (60, 90, 100)
AFFINE = np.array([[0, 0, -2, 100], [0, -2, 0, 90], [-3, 0, 0, 90], [0, 0, 0, 1.0]])
GRID = Grid(SHAPE, AFFINE)


def case():
    rng = np.random.default_rng(0)
    ct = rng.normal(40, 20, SHAPE).astype(np.float32)
    mask = np.zeros(SHAPE, np.uint8)
    mask[20:40, 30:50, 20:35] = 1
    mask[26:34, 35:45, 22:30] = 2
    return Volume(ct, GRID), mask


@pytest.fixture
def drawn(monkeypatch):
    figures, save = [], canvas.save
    monkeypatch.setattr(
        canvas, "save", lambda fig, *a: (figures.append(fig), save(fig, *a))
    )
    return figures


def words(figure):
    texts = [t.get_text() for t in figure.texts]
    texts += [t.get_text() for legend in figure.legends for t in legend.get_texts()]
    return texts + [t.get_text() for axes in figure.axes for t in axes.texts]


def test_three_planes_at_one_scale(tmp_path, drawn):
    case_picture(tmp_path / "p.png", *case(), title="case_00001")
    figure = drawn[0]
    image = matplotlib.image.imread(tmp_path / "p.png")
    assert image.shape[1] == pictures.WIDTH_PX
    width, height = figure.get_size_inches()
    for axes in figure.axes:
        box = axes.get_position()
        across = abs(np.diff(axes.get_xlim())[0]) / (box.width * width)
        down = abs(np.diff(axes.get_ylim())[0]) / (box.height * height)
        # mm an inch: the same in both directions to a pixel, and in all panels
        assert across == pytest.approx(down, rel=0.01)
        assert down == pytest.approx(
            abs(np.diff(figure.axes[0].get_ylim())[0])
            / (figure.axes[0].get_position().height * height)
        )


def test_directions_are_the_radiologists(tmp_path, drawn):
    case_picture(tmp_path / "p.png", *case())
    for axes, name, edges in zip(
        drawn[0].axes,
        ("Axial", "Coronal", "Sagittal"),
        ("RLAP", "RLSI", "APSI"),
        strict=True,
    ):
        found = {t.get_text(): t.xy for t in axes.texts}
        assert name in found
        left, right, top, bottom = (found[letter] for letter in edges)
        assert (left, right) == ((0, 0.5), (1, 0.5))
        assert (top, bottom) == ((0.5, 1), (0.5, 0))


@pytest.mark.parametrize("ras", [False, True])
def test_a_mark_on_the_patients_right_front_head_is_up_left(tmp_path, drawn, ras):
    # RAS+: the patient's right has the highest x, the front the highest y, the head
    # the highest z. The same mark in the KiTS layout and in a RAS copy.
    shape = (100, 90, 60) if ras else SHAPE
    affine = np.diag([2.0, 2.0, 3.0, 1.0]) if ras else AFFINE
    ct = np.full(shape, -160, np.float32)
    mask = np.zeros(shape, np.uint8)
    grid = Grid(shape, affine)
    centre = grid.to_mm((np.array(shape) - 1) / 2)
    place = grid.to_mm(np.moveaxis(np.indices(shape), 0, -1)) - centre
    near = np.abs(place).max(axis=-1) < 8  # the kidney, in the middle
    mask[near] = 1
    x, y, z = (place[..., i] for i in range(3))
    ct[(np.abs(x - 40) < 8) & (np.abs(y - 40) < 8) & (np.abs(z) < 8)] = 240
    ct[(np.abs(x - 40) < 8) & (np.abs(z - 40) < 8) & (np.abs(y) < 8)] = 240
    ct[(np.abs(y - 40) < 8) & (np.abs(z - 40) < 8) & (np.abs(x) < 8)] = 240
    case_picture(tmp_path / "p.png", Volume(ct, grid), mask)
    for axes in drawn[0].axes:
        picture = axes.images[0].get_array()
        left, right, low, top = axes.images[0].get_extent()
        rows, columns = np.nonzero(picture > 0)
        at = left + (columns.mean() + 0.5) / picture.shape[1] * (right - left)
        down = top + (rows.mean() + 0.5) / picture.shape[0] * (low - top)
        middle = np.mean(axes.get_xlim()), np.mean(axes.get_ylim())
        assert (at - middle[0], down - middle[1]) == pytest.approx((-40, -40), abs=3)


def test_contours_lie_on_the_voxels_outlines(tmp_path, drawn):
    ct, mask = case()
    case_picture(tmp_path / "p.png", ct, mask)
    axial = drawn[0].axes[0]
    lines = [c for c in axial.collections if len(c.get_edgecolor())]
    kidney, tumour = lines[-2:]
    for contour, low, high in (
        (kidney, (20, 30), (35, 50)),
        (tumour, (22, 35), (30, 45)),
    ):
        points = np.concatenate([p.vertices for p in contour.get_paths()])
        # halfway between the centres inside and outside: the voxels' own faces, 2 mm
        np.testing.assert_allclose(points.min(axis=0), 2.0 * np.array(low), atol=1e-6)
        np.testing.assert_allclose(points.max(axis=0), 2.0 * np.array(high), atol=1e-6)


def test_the_legend_names_what_is_there(tmp_path, drawn):
    ct, mask = case()
    case_picture(tmp_path / "a.png", ct, np.minimum(mask, 1))
    case_picture(tmp_path / "b.png", ct, np.minimum(mask, 1), mask, notice="synthetic")
    plain, compared = (words(figure) for figure in drawn)
    assert "kidney" in plain
    assert not {"tumour", "kidney, truth", "no kidney found"} & set(plain)
    assert {"kidney", "kidney, truth", "tumour, truth", "synthetic"} <= set(compared)
    assert "tumour" not in compared


def test_an_empty_mask_says_so(tmp_path, drawn):
    ct, mask = case()
    case_picture(tmp_path / "a.png", ct, np.zeros_like(mask), title="case_00002")
    case_picture(tmp_path / "b.png", ct, np.zeros_like(mask), mask)
    for figure in drawn:
        assert "no kidney found" in words(figure)
    assert "kidney, truth" in words(drawn[1])


@pytest.mark.parametrize("shape", [(2, 8, 8), (16, 16, 16), (5, 300, 20)])
def test_small_and_odd_volumes(tmp_path, shape):
    ct = Volume(np.zeros(shape, np.int16), Grid(shape, np.diag([1.0, 1, 5, 1])))
    mask = np.zeros(shape, np.uint8)
    case_picture(tmp_path / "a.png", ct, mask)
    mask[0, 0, 0] = 1  # at the very edge
    case_picture(tmp_path / "b.png", ct, mask)
    assert matplotlib.image.imread(tmp_path / "b.png").shape[1] == pictures.WIDTH_PX


def test_inputs_are_not_modified(tmp_path):
    ct, mask = case()
    before = ct.array.copy(), mask.copy()
    case_picture(tmp_path / "p.png", ct, mask, mask)
    np.testing.assert_array_equal(ct.array, before[0])
    np.testing.assert_array_equal(mask, before[1])


def test_a_cyst_has_its_own_contour_and_is_no_tumour(tmp_path, drawn):
    ct, mask = case()
    mask[mask == 2] = 3
    case_picture(tmp_path / "p.png", ct, mask)
    told = words(drawn[0])
    assert "cyst" in told
    assert "tumour" not in told


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ct_\udcff", "ct_□"),  # a byte that is no UTF-8, as Python reads it
        ("Größe 腎", "Größe □"),
        ("a\nb", "a b"),
        (r"$x_{y}^ $\alpha", r"$x_{y}^ $\alpha"),  # no formula
    ],
)
def test_any_file_s_name_can_be_drawn(tmp_path, drawn, name, shown):
    case_picture(tmp_path / "p.png", *case(), title=name)
    assert shown in words(drawn[0])
