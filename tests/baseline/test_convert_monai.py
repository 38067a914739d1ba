"""MONAI's own V-Net to this package and back: `pip install "vnet-jax[baseline]"`."""

import functools
import json
import subprocess
import sys
from pathlib import Path

import jax
import nibabel as nib
import numpy as np
import pytest

torch = pytest.importorskip("torch")
monai_nets = pytest.importorskip("monai.networks.nets")

from vnet_jax import models  # noqa: E402
from vnet_jax.errors import InputError  # noqa: E402
from vnet_jax.models.weights import (  # noqa: E402
    from_state_dict,
    join,
    layout_of,
    to_state_dict,
)
from vnet_jax.runs.weight_files import read_weights, write_weights  # noqa: E402

ROOT = Path(__file__).parents[2]
NETWORKS = [(act, channels) for act in ("elu", "prelu") for channels in (1, 4)]


@functools.cache
def network(act, channels, step=3):
    """MONAI's V-Net in evaluation, with nothing at a neutral value."""
    torch.manual_seed(channels)
    net = monai_nets.VNet(3, channels, 3, act=act).eval()
    with torch.no_grad():
        for name, array in net.state_dict().items():
            if name.endswith("num_batches_tracked"):
                array.fill_(step)
            elif array.ndim == 1:  # norms, biases, slopes; variances stay positive
                array.add_(0.1 + 0.3 * torch.rand_like(array))
    return net


def arrays_of(net):
    return {name: tensor.numpy() for name, tensor in net.state_dict().items()}


def same(a, b):
    assert list(a) == list(b)
    for name in a:
        assert a[name].dtype == b[name].dtype and a[name].shape == b[name].shape
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize(("act", "channels"), NETWORKS)
def test_there_and_back_is_exact_and_in_order(act, channels):
    state = arrays_of(network(act, channels))
    layout = layout_of(state)
    assert (layout.in_channels, layout.width) == (channels, 16)
    assert (layout.classes, layout.activation) == (3, act)
    back = to_state_dict(from_state_dict(state), 3)
    same(back, state)
    tensors = {name: torch.from_numpy(array) for name, array in back.items()}
    net = monai_nets.VNet(3, channels, 3, act=act)
    assert str(net.load_state_dict(tensors, strict=True)) == (
        "<All keys matched successfully>"
    )


@pytest.mark.parametrize(("act", "channels"), [("elu", 4), ("prelu", 1)])
def test_both_compute_the_same(act, channels):
    net = network(act, channels)
    x = np.random.default_rng(0).uniform(-1, 1, (1, channels, 16, 16, 32))
    x = x.astype(np.float32)
    with torch.no_grad():
        expected = net(torch.from_numpy(x)).numpy()
    module = models.build(cascade=False, activation=act)
    program = jax.jit(
        module.apply, compiler_options={"xla_backend_optimization_level": 0}
    )
    variables = from_state_dict(arrays_of(net))
    (logits,) = program(variables, np.moveaxis(x, 1, -1))
    got = np.moveaxis(np.asarray(logits), -1, 1)
    np.testing.assert_allclose(got, expected, atol=1e-5 * np.abs(expected).max())


def test_a_cascade_of_two():
    first, second = (arrays_of(network("elu", channels)) for channels in (1, 4))
    assert layout_of(join(first, second)).cascade


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.safetensors", "w.npz"])
def test_files_keep_every_bit(tmp_path, name):
    state = arrays_of(network("prelu", 1))
    write_weights(tmp_path / name, state)
    found = read_weights(tmp_path / name)
    same({k: found[k] for k in state}, state)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"lr": 1e-4}},
        lambda state: {"model": {f"module.{k}": v for k, v in state.items()}},
        lambda state: {f"_orig_mod.{k}": v for k, v in state.items()},
    ],
)
def test_what_training_loops_save(tmp_path, wrap):
    small = dict(list(network("elu", 1).state_dict().items())[:7])
    torch.save(wrap(small), tmp_path / "w.pt")
    same(read_weights(tmp_path / "w.pt"), {k: v.numpy() for k, v in small.items()})


def test_bfloat16_is_read_as_float32(tmp_path):
    values = torch.tensor([1.5, -2.25], dtype=torch.bfloat16)
    torch.save({"a": values}, tmp_path / "w.pt")
    found = read_weights(tmp_path / "w.pt")["a"]
    assert found.dtype == np.float32 and found.tolist() == [1.5, -2.25]


class Runs:
    """Pickled, it would write a file when it is read."""

    def __reduce__(self):
        return open, ("ran", "w")


@pytest.mark.parametrize(
    ("saved", "said"),
    [
        (lambda: torch.nn.Linear(2, 2), "more than tensors, and no code"),
        (lambda: {"a": Runs()}, "more than tensors, and no code"),
        (lambda: [torch.ones(2)], "holds a list, no state dict"),
        (lambda: {"epoch": 3, "a": torch.ones(2)}, "'epoch' is no array but of type"),
    ],
)
def test_what_is_no_state_dict(tmp_path, monkeypatch, saved, said):
    monkeypatch.chdir(tmp_path)
    torch.save(saved(), "w.pt")
    with pytest.raises(InputError, match=said):
        read_weights("w.pt")
    assert not Path("ran").exists()


def test_a_damaged_file_is_one_line(tmp_path):
    torch.save({"a": torch.ones(100)}, tmp_path / "w.pt")
    whole = (tmp_path / "w.pt").read_bytes()
    for part in (b"", whole[:50], whole[: len(whole) // 2], b"no weights at all"):
        (tmp_path / "w.pt").write_bytes(part)
        with pytest.raises(InputError, match=r"w\.pt: (cannot|is dam)") as caught:
            read_weights(tmp_path / "w.pt")
        assert "\n" not in str(caught.value)


def run(place, program, *flags):
    done = subprocess.run(
        [sys.executable, str(ROOT / f"bin/{program}.py"), *flags],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


def test_from_monais_file_to_a_mask(tmp_path):
    """Phase 2 from a .pt file, without a training here."""
    torch.save(network("prelu", 1).state_dict(), tmp_path / "monai.pt")
    run(
        tmp_path,
        "convert",
        *("--source=monai.pt", "--target=run"),
        f"--config={ROOT / 'configs/phase2.py'}",
        "--config.data.spacing_mm=4,4,4",
        "--config.sample.shape=16,16,16",
    )
    hu = np.random.default_rng(0).integers(-200, 300, (16, 18, 20)).astype(np.int16)
    hu[:, :3] = -1000
    kidneys = np.zeros(hu.shape, np.int16)
    kidneys[6:10, 8:12, 8:12] = 1
    for name, array in (("ct", hu), ("kidneys", kidneys)):
        image = nib.Nifti1Image(array, np.diag([4.0, 4, 4, 1]))
        nib.save(image, tmp_path / f"{name}.nii.gz")
    run(
        tmp_path,
        "infer",
        *("--input=ct.nii.gz", "--output=masks"),
        *("--kidneys=kidneys.nii.gz", "--phase2=run"),
    )
    assert nib.load(tmp_path / "masks/ct.nii.gz").shape == hu.shape
    facts = json.loads((tmp_path / "masks/ct.json").read_text())
    (model,) = facts["models"]["phase2"]
    assert model["steps"] == [3] and model["synthetic"] is False
    assert facts["trained_on_synthetic"] is False  # unknown is not synthetic
