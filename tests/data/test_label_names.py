from pathlib import Path

import pytest

from vnet_jax.data.label_names import check_labels, names_of_values
from vnet_jax.errors import InputError

PATH = Path("dataset.json")
KITS23 = {"background": 0, "kidney": [1, 2, 3], "masses": [2, 3], "tumor": 2}
FOUR = ((0, 0), (1, 1), (2, 2), (3, 3))
THREE = ((0, 0), (1, 1), (2, 2))


def test_regions_name_their_values():
    assert names_of_values(KITS23, PATH) == {
        0: ["background"],
        1: ["kidney"],
        2: ["kidney", "masses", "tumor"],
        3: ["kidney", "masses"],
    }


@pytest.mark.parametrize(
    "labels",
    [
        KITS23,
        {"background": 0, "kidney": 1, "Tumour": 2},
        {"0": "background", "1": "kidney", "2": "tumor"},  # version 1
        {"background": 0, "organ": 1, "lesion": 2, "ignore": 9},
    ],
)
def test_what_fits_passes(labels):
    check_labels(labels, FOUR, PATH)


def test_a_value_without_a_class_is_one_line():
    with pytest.raises(InputError, match=r"no class for 3; use .*kits23\.py") as error:
        check_labels(KITS23, THREE, PATH)
    assert str(error.value).startswith("dataset.json: has the labels 0 background, 1 ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "labels",
    [
        {"background": 0, "kidney": 1, "cyst": 2, "tumor": 3},
        {"background": 0, "tumor": [2, 3], "kidney": 1},
        {"0": "background", "1": "tumor", "2": "kidney"},
    ],
)
def test_another_order_of_the_tissues_is_refused(labels):
    with pytest.raises(InputError, match="class 2 is the tumour"):
        check_labels(labels, FOUR, PATH)


@pytest.mark.parametrize(
    "labels", [["background"], {"kidney": 1.5}, {"kidney": -1}, {"x": "y"}, {"a": None}]
)
def test_what_is_no_table_of_labels_is_refused(labels):
    with pytest.raises(InputError, match="no names of whole numbers"):
        names_of_values(labels, PATH)
