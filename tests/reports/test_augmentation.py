import numpy as np
from PIL import Image

from vnet_jax.data.augment_views import views
from vnet_jax.reports import augmentation

SPACING_MM = (3.0, 1.0, 1.0)
SETTINGS = dict(
    flip=(0.0, 0.0, 0.5),
    swap=(),
    rotation=20.0,
    stretch=0.0,
    scaling=0.0,
    elastic_mm=4.0,
    elastic_grid_mm=20.0,
    blur_mm=2.0,
    low_resolution=(2.0, 2.0, 2.0),
    gamma=0.0,
    contrast=0.0,
    brightness=0.0,
    noise=0.2,
    chance={"noise": 0.0},
)


def sample():
    rng = np.random.default_rng(0)
    image = rng.uniform(-0.4, 0.1, (12, 32, 48, 1)).astype(np.float32)
    label = np.zeros((12, 32, 48), np.uint8)
    label[4:8, 10:20, 5:15], label[5:7, 12:15, 6:9] = 1, 2
    image[label > 0] = 0.6
    return image, label


def test_every_change_that_is_on_is_seen_alone_and_then_together():
    image, label = sample()
    found = views(image, label, SPACING_MM, SETTINGS, 0, 2)
    titles = [view.title for view in found]
    alone = ["flip", "rotation", "elastic", "blur", "resolution", "noise"]
    assert titles == ["as it is", *alone, "together", "together"]
    assert found[4].setting == "2 mm" and found[5].setting == "2, 2, 2"
    for view in found[1:7]:  # noise is seen, though its chance is 0
        assert not np.array_equal(view.image, image[..., 0]), view.title
    assert np.array_equal(found[1].label, np.flip(label, 2))
    again = views(image, label, SPACING_MM, SETTINGS, 0, 2)
    for one, two in zip(found, again, strict=True):
        assert np.array_equal(one.image, two.image)


def test_the_places_are_where_the_sample_was_read():
    image, label = sample()
    view = views(image, label, SPACING_MM, SETTINGS, 0, 0)[2]
    middle = (np.array(label.shape) - 1) / 2
    steps = np.moveaxis(view.places_mm, 0, -1) / SPACING_MM + middle
    nearest = tuple(np.moveaxis(np.floor(steps + 0.5).astype(int), -1, 0))
    assert (label[nearest] == view.label).mean() > 0.999  # but for ties
    assert views(image, label, SPACING_MM, SETTINGS, 0, 0)[1].places_mm is None


def test_the_sheet_is_a_small_picture_with_the_labels_colours(tmp_path):
    image, label = sample()
    path = tmp_path / "sheet.png"
    augmentation.sheet(
        path, views(image, label, SPACING_MM, SETTINGS, 0, 2), SPACING_MM
    )
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
        assert picture.mode == "P" and picture.width == augmentation.WIDTH_PX
    assert path.stat().st_size < 300_000
    red, green, blue = np.moveaxis(pixels, -1, 0)
    assert ((green > red + 60) & (green > blue)).sum() > 100  # kidney
    assert ((red > green + 60) & (blue > 60)).sum() > 30  # tumour
    assert ((red > blue + 60) & (green > blue + 30)).sum() > 100  # lines that move


def test_a_sample_without_foreground_is_drawn_too(tmp_path):
    image, label = sample()
    seen = views(image, 0 * label, SPACING_MM, SETTINGS | {"noise": 0.0}, 0, 0)
    augmentation.sheet(tmp_path / "sheet.png", seen, SPACING_MM)
    assert (tmp_path / "sheet.png").is_file()
