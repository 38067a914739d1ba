"""Files of weights: .npz, .safetensors, .pt and .pth, each a state dict.

None of them runs code: npz files are read without pickle, PyTorch's with its unpickler
that knows tensors alone. Names come out as they are in the file, but for what wraps a
training's network: a dictionary around the state dict, "module." before each name.
"""

from __future__ import annotations

import importlib
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np

from vnet_jax import memory
from vnet_jax.data.files import whole_file
from vnet_jax.errors import InputError
from vnet_jax.runs import tensors

SUFFIXES = (".npz", ".safetensors", ".pt", ".pth")
WRAPPERS = ("state_dict", "model_state_dict", "model", "net")  # of training loops
PREFIXES = ("module.", "_orig_mod.")  # of DataParallel, of torch.compile


def is_weights_name(path) -> bool:
    """Whether a file's name ends as one of weights does."""
    return Path(path).suffix.lower() in SUFFIXES


def read_weights(path) -> dict[str, np.ndarray]:
    """Reads a state dict.

    Args:
        path: an existing file, of one of `SUFFIXES`.

    Returns:
        Arrays by name, of the file's dtypes; bfloat16, which NumPy lacks, as float32.

    Raises:
        InputError: another suffix, no such file, a damaged one, one that holds more
            than arrays, or a library that is missing.
    """
    path = Path(path)
    reader = {".npz": _read_npz, ".safetensors": _read_safetensors}
    read = reader.get(_suffix(path), _read_torch)
    if not path.is_file():
        raise InputError(path, "no such file")
    try:
        found = read(path)
    except InputError:
        raise
    except Exception as error:  # zip, pickle and header faults of three libraries
        raise _unreadable(path, error) from error
    return _named(path, _unwrapped(found))


def write_weights(path, state: Mapping[str, np.ndarray]) -> None:
    """Writes a state dict, whole or not at all.

    Args:
        path: a file of one of `SUFFIXES`; its folder is made when missing.
        state: arrays by name.

    Raises:
        InputError: another suffix, a library that is missing, a full disk.
    """
    path = Path(path)
    writer = {".npz": _write_npz, ".safetensors": _write_safetensors}
    write = writer.get(_suffix(path), _write_torch)
    try:
        with whole_file(path) as file:
            write(path, file, state)
    except OSError as error:
        raise InputError(path, f"cannot be written ({error})", "make room") from error


def _read_npz(path: Path) -> dict:
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
        stated = sum(entry.file_size for entry in arrays.zip.infolist())
        memory.check_room(stated, "its arrays")  # a zip may unfold to a thousandfold
        return {name: arrays[name] for name in arrays.files}


def _write_npz(path: Path, file, state: Mapping) -> None:
    np.savez(file, **state)


def _read_safetensors(path: Path) -> dict:
    with open(path, "rb") as file:
        return tensors.read(file, path.stat().st_size)


def _write_safetensors(path: Path, file, state: Mapping) -> None:
    tensors.write(file, state, {"format": "pt"})


def _read_torch(path: Path):
    torch = _library(path, "torch")
    with warnings.catch_warnings():  # about formats; what cannot be read raises
        warnings.simplefilter("ignore")
        found = torch.load(path, map_location="cpu", weights_only=True)
    return _as_numpy(torch, _unwrapped(found))


def _write_torch(path: Path, file, state: Mapping) -> None:
    torch = _library(path, "torch")
    copies = {name: torch.from_numpy(np.array(a)) for name, a in state.items()}
    torch.save(copies, file)


def _as_numpy(torch: ModuleType, found):
    """Tensors as arrays; what is none stays, to be refused by its name."""
    if not isinstance(found, Mapping):
        return found

    def array(value):
        if not isinstance(value, torch.Tensor):
            return value
        value = value.detach()
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()

    return {name: array(value) for name, value in found.items()}


def _unwrapped(found):
    """The state dict inside what a training loop saved."""
    for name in WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
            return found[name]
    return found


def _named(path: Path, found) -> dict[str, np.ndarray]:
    """The arrays without prefixes that all of them carry.

    Raises:
        InputError: not a dictionary of arrays alone.
    """
    remedy = "save model.state_dict() alone"
    if not isinstance(found, Mapping):
        raise InputError(path, f"holds a {type(found).__name__}, no state dict", remedy)
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray):
            wrong = f"{name!r} is no array but of type {type(value).__name__}"
            raise InputError(path, wrong, remedy)
    for prefix in PREFIXES:
        if found and all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): a for name, a in found.items()}
    return {name: _known_to_numpy(array) for name, array in found.items()}


def _known_to_numpy(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def _suffix(path: Path) -> str:
    """The suffix in small letters.

    Raises:
        InputError: none of `SUFFIXES`.
    """
    if not is_weights_name(path):
        raise InputError(path, f"no file of weights: {', '.join(SUFFIXES)} are")
    return path.suffix.lower()


def _library(path: Path, name: str) -> ModuleType:
    """An optional library.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise InputError(
            path,
            f"{path.suffix} files need {package}, which is not installed",
            'pip install "vnet-jax[baseline]", or use .npz',
        ) from None


def _unreadable(path: Path, error: Exception) -> InputError:
    """The one line for a file that a library could not read."""
    first = (str(error).strip().splitlines() or [""])[0][:120]
    if isinstance(error, pickle.UnpicklingError) and "eights only" in str(error):
        return InputError(
            path,
            "is damaged or holds more than tensors, and no code is run from a file",
            "save model.state_dict() alone",
        )
    reason = f"{type(error).__name__}: {first}"
    return InputError(path, f"cannot be read ({reason})", "copy or save it anew")
