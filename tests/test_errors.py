import pickle

from vnet_jax.errors import InputError


def test_one_line_names_the_file_the_fault_and_the_remedy():
    assert str(InputError("a.nii", "is empty", "copy it again")) == (
        "a.nii: is empty; copy it again"
    )
    assert str(InputError(None, "no cases")) == "no cases"


def test_a_line_is_one_whatever_it_holds():
    error = InputError("two\nlines.nii", "value {\n}", "mend it")
    assert str(error) == "two lines.nii: value { }; mend it"


def test_it_comes_whole_out_of_another_process():
    error = InputError("a.nii", "is empty", "copy it again")
    back = pickle.loads(pickle.dumps(error))
    assert (back.path, back.wrong, back.remedy) == (
        error.path,
        error.wrong,
        error.remedy,
    )
    assert str(back) == str(error)
