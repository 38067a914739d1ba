"""Runs in a bundle are the runs in their folders; what is no bundle is one line."""

import json
import random

import jax
import numpy as np
import pytest

from tests.inference import known
from vnet_jax.errors import InputError
from vnet_jax.runs import bundle as module
from vnet_jax.runs.bundle import open_bundle, verify
from vnet_jax.runs.folder import RunFolder
from vnet_jax.runs.packing import write_bundle
from vnet_jax.runs.sealed import open_sealed, writing_sealed
from vnet_jax.runs.sources import open_weights

WINDOW = (16, 16, 16)
LICENCE = "CC BY-NC-SA 4.0"


def some_variables(seed):
    """Names and shapes as networks have them; few values."""
    rng = np.random.default_rng(seed)
    norm = {"scale": rng.random(3, np.float32)}
    conv = {"kernel": rng.random((2, 2, 2, 1, 3), np.float32)}
    mean = {"mean": rng.random(3, np.float32)}
    params = {"stage1": {"encoder_0": {"conv_0": conv, "norm_0": norm}}}
    return {"params": params, "batch_stats": {"stage1": {"norm_0": mean}}}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Phase 1, and phase 2 twice, of random values."""
    root, found = tmp_path_factory.mktemp("runs"), []
    for name, phase, steps in [("a", 1, (3, 4)), ("b", 2, (5, 6, 7)), ("c", 2, (8,))]:
        config = known.config(phase, (3, 2, 2), (1, 1, 1), WINDOW, phase == 2, width=4)
        config.data.root, config.data.phase1 = "/home/someone/data", "/home/x/a"
        config.init_from = "/home/someone/run"
        members = {step: (1 / step, some_variables(step)) for step in steps}
        found.append(RunFolder(known.write_run(root / name, config, members)))
    return found


def pack(path, runs, **changes):
    write_bundle(path, runs[:1], runs[1:], **{"licence": LICENCE, **changes})
    return path


@pytest.fixture(scope="module")
def path(runs, tmp_path_factory):
    return pack(tmp_path_factory.mktemp("bundle") / "kidney.vnet", runs)


def altered(path, target, change):
    """The same bundle with another manifest, sealed anew."""
    parts = {name: part.read(10**7) for name, part in open_sealed(path).items()}
    manifest = json.loads(parts.pop("manifest.json"))
    manifest = change(manifest) or manifest
    with writing_sealed(target) as writer:
        for name, content in parts.items():
            writer.add_bytes(name, content)
        writer.add_bytes("manifest.json", json.dumps(manifest).encode())
    return target


def test_a_bundled_run_is_the_run(path, runs):
    bundle = open_bundle(path)
    assert [run.config.phase for run in bundle.runs()] == [1, 2, 2]
    for run, packed, members in zip(runs, bundle.runs(), (1, None, None), strict=True):
        assert packed.identity() == run.identity(members)
        assert packed.ensemble() == run.ensemble(members)
        assert packed.synthetic is run.synthetic is True
        assert packed.config.sample.shape == WINDOW
        for step in packed.ensemble():
            jax.tree.map(
                np.testing.assert_array_equal,
                packed.checkpoints.variables(step),
                run.checkpoints.variables(step),
            )
    verify(bundle)


def test_the_manifest_says_what_it_is(path):
    manifest = open_bundle(path).manifest
    assert manifest["format"] == 1 and manifest["licence"] == LICENCE
    assert manifest["synthetic"] is True
    assert manifest["labels"] == {"0": "background", "1": "kidney", "2": "tumour"}
    assert manifest["versions"].keys() >= {"vnet_jax", "jax", "flax", "python"}
    assert [m["step"] for m in manifest["phases"]["2"][0]["members"]] == [5, 6, 7]
    (first,) = manifest["phases"]["1"]
    assert first["members"][0]["score"] == pytest.approx(1 / 3)
    assert first["newest"] == 4  # which is not packed


def test_places_and_names_of_cases_stay_at_home(path, runs):
    content = path.read_bytes()
    assert b"someone" not in content and str(runs[0].path).encode() not in content
    config = open_bundle(path).phase2[0].config
    assert (config.data.root, config.data.phase1, config.init_from) == ("", "", "")


def test_the_same_runs_give_the_same_bytes(path, runs, tmp_path):
    assert pack(tmp_path / "y.vnet", runs).read_bytes() == path.read_bytes()


def test_few_members_and_one_run(runs, tmp_path):
    bundle = open_bundle(pack(tmp_path / "y.vnet", runs[:2], members=2))
    assert [run.ensemble() for run in bundle.runs()] == [[3], [5, 6]]
    assert bundle.phase2[0].identity() == runs[1].identity(2)


def test_optional_files_come_back_as_they_were(runs, tmp_path):
    text = '{"b": [1, 2.50],   "a": null}\n'
    (tmp_path / "t.json").write_text(text)
    extras = {"thresholds": tmp_path / "t.json"}
    bundle = open_bundle(pack(tmp_path / "y.vnet", runs[:2], extras=extras))
    assert bundle.extra("thresholds").decode() == text
    assert bundle.extra("scores") is None


def test_a_run_without_batch_norm_and_validation(tmp_path):
    config = known.config(1, (3, 2, 2), (1, 1, 1), WINDOW)
    first = RunFolder(known.write_run(tmp_path / "a", config, {}))
    with first.checkpoints as checkpoints:
        checkpoints.save(4, known.Trained(known.variables()))
    config.phase = 2
    second = known.write_run(tmp_path / "b", config, {9: (0.5, known.variables(3.0))})
    bundle = open_bundle(pack(tmp_path / "y.vnet", [first, RunFolder(second)]))
    (run,) = bundle.phase1
    assert run.ensemble() == [4] and run.checkpoints.best() == []
    assert run.checkpoints.variables(4) == known.variables()


def test_weights_to_start_from(path, runs):
    for phase, run in ((1, runs[0]), (2, runs[1])):
        found, wanted = open_weights(path, phase=phase), open_weights(run.path)
        jax.tree.map(np.testing.assert_array_equal, found.variables, wanted.variables)
        assert found.network == wanted.network and found.step == wanted.step
        assert found.origin["sha256"] == wanted.origin["sha256"]
        assert found.origin["run"] == f"{path}/phase{phase}/0"
    with pytest.raises(InputError, match="holds no checkpoint of step 99"):
        open_weights(path, 99, 2)
    with pytest.raises(InputError, match="holds two phases; say which"):
        open_weights(path)


def newer(manifest):
    return {"format": 2, "everything": "else"}


def another_path(manifest):
    manifest["phases"]["1"][0]["members"][0]["weights"] = "../../etc/passwd"


def twice(manifest):
    members = manifest["phases"]["2"][0]["members"]
    members[1] = members[0]


def other_size(manifest):
    manifest["parts"]["phase1/0/3.safetensors"]["bytes"] += 1


def no_phase2(manifest):
    manifest["phases"]["2"] = []


def exchanged(manifest):
    manifest["phases"]["1"] = manifest["phases"]["2"][:1]


def no_config(manifest):
    del manifest["phases"]["1"][0]["config"]


def a_list(manifest):
    manifest["phases"] = [1, 2]


def no_synthetic(manifest):
    del manifest["phases"]["1"][0]["model"]["synthetic"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (newer, "a bundle of format 2, this program reads 1; install"),
        (another_path, "KeyError.*etc/passwd"),
        (twice, "two of one step"),
        (other_size, "other parts than it tells of"),
        (no_phase2, "no run of phase 2"),
        (exchanged, "no run of phase 1"),
        (no_config, "KeyError.*config"),
        (a_list, "not as bin/bundle.py writes it"),
        (no_synthetic, "KeyError.*synthetic"),
        (lambda manifest: [manifest], "manifest.json cannot be read"),
    ],
)
def test_a_manifest_that_was_written_by_hand(path, tmp_path, change, said):
    with pytest.raises(InputError, match=said) as caught:
        open_bundle(altered(path, tmp_path / "y.vnet", change))
    assert "\n" not in str(caught.value)


def test_deep_json_is_one_line(tmp_path):
    with writing_sealed(tmp_path / "y.vnet") as writer:
        writer.add_bytes("manifest.json", b"[" * 10**5)
    with pytest.raises(InputError, match=r"manifest\.json cannot be read"):
        open_bundle(tmp_path / "y.vnet")
    with writing_sealed(tmp_path / "z.vnet") as writer:
        writer.add_bytes("x.json", b"{}")
    with pytest.raises(InputError, match=r"holds no manifest\.json"):
        open_bundle(tmp_path / "z.vnet")


def test_weights_that_are_not_the_manifests(path, tmp_path):
    def other_digest(manifest):
        manifest["phases"]["1"][0]["members"][0]["sha256"] = "0" * 64

    bundle = open_bundle(altered(path, tmp_path / "y.vnet", other_digest))
    with pytest.raises(InputError, match=r"3\.safetensors is not what the manifest"):
        bundle.phase1[0].checkpoints.variables(3)

    def other_sum(manifest):
        manifest["parts"]["phase2/0/6.safetensors"]["sha256"] = "0" * 64

    with pytest.raises(InputError, match=r"6\.safetensors has another SHA-256"):
        verify(open_bundle(altered(path, tmp_path / "z.vnet", other_sum)))


def test_a_change_after_opening_is_seen(path, tmp_path):
    later = tmp_path / "y.vnet"
    later.write_bytes(path.read_bytes())
    bundle = open_bundle(later)
    part = bundle.phase1[0].checkpoints.part(3)
    with open(later, "r+b") as file:
        file.seek(part.start + part.size - 1)
        file.write(b"\x7f")
    with pytest.raises(InputError, match="not what the manifest says; copy it anew"):
        bundle.phase1[0].checkpoints.variables(3)
    later.write_bytes(b"")
    with pytest.raises(InputError, match="cannot be read"):
        bundle.phase1[0].checkpoints.variables(3)


@pytest.mark.parametrize("place", ["x", "params", "params/a/b/c", "params//", "a/b"])
def test_names_that_are_no_variables(place):
    arrays = {"params/a/b": np.ones(1, np.float32), place: np.ones(1, np.float32)}
    with pytest.raises(ValueError, match="has no place among the variables"):
        module._nested(arrays)


def test_what_cannot_be_packed(runs, tmp_path):
    (tmp_path / "list.json").write_text("[1]")
    for name, said in [("list.json", "no JSON object"), ("none.json", "No such file")]:
        with pytest.raises(InputError, match=f"{name}: cannot be packed .*{said}"):
            pack(tmp_path / "y.vnet", runs, extras={"scores": tmp_path / name})
    with pytest.raises(InputError, match="is there already"):
        pack(tmp_path / "list.json", runs)
    assert [file.name for file in tmp_path.iterdir()] == ["list.json"]


def test_hundreds_of_changed_bytes(path, tmp_path):
    whole, draw = path.read_bytes(), random.Random(2)
    for _ in range(300):
        changed = bytearray(whole)
        changed[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        (tmp_path / "y.vnet").write_bytes(changed)
        with pytest.raises(InputError) as caught:
            open_bundle(tmp_path / "y.vnet")
        assert "\n" not in str(caught.value)
