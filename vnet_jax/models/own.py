"""Networks and losses of the user's own, named by "package.module:name" in a config.

A network: `factory(classes=C, dtype=dtype, **kwargs)` returns a Flax (linen) module
that is called as `module(x, train=...)`, or, where it asks for it, `module(x,
train=..., index=...)`, x being (B, D, H, W, 1) float32 in [-1, 1]. It returns logits
(B, D, H, W, C), or several such arrays, one a stage, the last of which is the result.
Its variables are "params" and, where it has some, "batch_stats"; dropout draws from the
stream "dropout".

A loss: `factory(classes=C, **kwargs)` returns a function (logits, labels) -> scalar,
labels being (B, D, H, W) uint8.

A run keeps the name, never the code: to read the run is to import that module.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import sys
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from flax import linen as nn

COLLECTIONS = {"params", "batch_stats"}


class Own(nn.Module):
    """A network of the user's own behind the form that `VNet` and `Cascade` have.

    Attributes:
        net: what the factory made.
        window: (D, H, W) voxels of the volumes that it is made for.
        takes_index: whether it asks for the samples' places in the global batch.
        stages: how many arrays of logits it returns.
    """

    net: nn.Module
    window: tuple[int, int, int]
    takes_index: bool = False
    stages: int = 1

    def __call__(
        self, x: jax.Array, train: bool = False, index: jax.Array | None = None
    ) -> tuple[jax.Array, ...]:
        """Logits of each stage, (B, D, H, W, classes) float32, as of a `VNet`."""
        more = {"index": index} if self.takes_index else {}
        given = self.net(x, train=train, **more)
        given = given if isinstance(given, tuple | list) else (given,)
        return tuple(stage.astype(jnp.float32) for stage in given)


def network(
    path: str, kwargs: str, classes: int, dtype: str, window: tuple[int, int, int]
) -> Own:
    """Makes a network and looks, without computing anything, whether it will do.

    Args:
        path: "package.module:name" of its factory.
        kwargs: the factory's further arguments, from `as_text`.
        classes: channels of the logits.
        dtype: of the computation, handed to the factory.
        window: (D, H, W) voxels that it is to be trained on.

    Raises:
        ValueError: a factory that cannot be imported or called, or a network that does
            not give logits of the volume's own shape.
    """
    return _network(path, kwargs, classes, dtype, tuple(window))


@functools.cache
def _network(path, kwargs, classes, dtype, window) -> Own:
    net = _called(path, classes=classes, dtype=jnp.dtype(dtype), **json.loads(kwargs))
    if not isinstance(net, nn.Module):
        raise ValueError(
            f"factory {path} returned {_kind(net)}, not a flax.linen.Module"
        )
    try:
        hash(net)
    except TypeError as error:
        raise ValueError(
            f"factory {path}: its network cannot be compared ({_line(error)}); make "
            "arrays in its call, not in its fields"
        ) from error
    takes = inspect.signature(type(net).__call__).parameters
    module = Own(net, window, "index" in takes)
    try:
        variables, stages = jax.eval_shape(functools.partial(_trial, module))
    except Exception as error:
        raise ValueError(
            f"factory {path}: its network fails on a volume of {window}: {_line(error)}"
        ) from error
    if more := sorted(variables.keys() - COLLECTIONS):
        raise ValueError(
            f"factory {path}: its network has variables {', '.join(more)}; training "
            "keeps params and batch_stats alone"
        )
    wanted = (1, *window, classes)
    for stage in stages:
        if stage.shape != wanted:
            raise ValueError(
                f"factory {path}: its network returns logits of shape {stage.shape} "
                f"for a volume of {window}, not {wanted}"
            )
    return module.clone(stages=len(stages))


def _trial(module: Own) -> tuple[dict, tuple[jax.Array, ...]]:
    """Makes the variables, trains once and predicts; traced only."""
    key, x = jax.random.key(0), jnp.zeros((1, *module.window, 1))
    variables = module.init(key, x, train=False)
    module.apply(
        variables,
        x,
        train=True,
        index=jnp.zeros(1, jnp.int32),
        rngs={"dropout": key},
        mutable=["batch_stats"],
    )
    return dict(variables), module.apply(variables, x, train=False)


def loss(path: str, kwargs: str, classes: int) -> Callable:
    """Makes a loss and looks, without computing anything, whether it will do.

    Args:
        path: "package.module:name" of its factory.
        kwargs: the factory's further arguments, from `as_text`.
        classes: channels of the logits.

    Raises:
        ValueError: a factory that cannot be imported or called, or a function that
            does not give one number that can be differentiated.
    """
    return _loss(path, kwargs, classes)


@functools.cache
def _loss(path, kwargs, classes) -> Callable:
    made = _called(path, classes=classes, **json.loads(kwargs))
    if not callable(made):
        raise ValueError(f"factory {path} returned {_kind(made)}, not a function")
    logits = jax.ShapeDtypeStruct((2, 4, 4, 4, classes), jnp.float32)
    labels = jax.ShapeDtypeStruct((2, 4, 4, 4), jnp.uint8)
    try:
        value = jax.eval_shape(made, logits, labels)
        if getattr(value, "shape", None) == ():
            jax.eval_shape(jax.grad(made), logits, labels)
    except Exception as error:
        raise ValueError(f"factory {path}: its loss fails: {_line(error)}") from error
    shape = getattr(value, "shape", _kind(value))
    if shape != ():
        raise ValueError(f"factory {path}: its loss returns {shape}, not one number")
    return made


def as_text(kwargs: Mapping | None) -> str:
    """Arguments as JSON, under which what they make is remembered.

    Raises:
        ValueError: something else than numbers, text, lists and dictionaries in them.
    """
    try:
        plain = getattr(kwargs, "to_dict", lambda: dict(kwargs or {}))()
        return json.dumps(plain, sort_keys=True)
    except TypeError as error:
        raise ValueError(f"kwargs: {error}; a run keeps them as JSON") from None


def imported(path: str) -> Callable:
    """What a path names.

    Args:
        path: "package.module:name".

    Raises:
        ValueError: another form, no such module, one that fails, no such name, or one
            of Python's own, where no network is and much that acts when imported.
    """
    module, _, name = str(path).partition(":")
    if not module or not name:
        raise ValueError(f"factory is {path!r}, not 'package.module:name'")
    if module.split(".")[0] in sys.stdlib_module_names:
        raise ValueError(f"factory {path}: {module} is a module of Python's own")
    try:
        found = importlib.import_module(module)
    except Exception as error:
        raise ValueError(f"factory {path}: {_why(module, error)}") from error
    if not hasattr(found, name):
        raise ValueError(f"factory {path}: {found.__file__ or module} has no {name}")
    return getattr(found, name)


def _why(module: str, error: Exception) -> str:
    missing = getattr(error, "name", None)
    own = missing and (module == missing or module.startswith(f"{missing}."))
    if isinstance(error, ModuleNotFoundError) and own:
        return f"no module {missing} on Python's path; put its folder on PYTHONPATH"
    return f"importing {module} failed: {_line(error)}"


def _called(path: str, **arguments):
    make = imported(path)
    try:
        return make(**arguments)
    except Exception as error:
        given = ", ".join(arguments)
        raise ValueError(
            f"factory {path}, called with {given}: {_line(error)}"
        ) from error


def _line(error: Exception) -> str:
    text = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {text[0]}"


def _kind(value) -> str:
    return f"a {type(value).__name__}"
