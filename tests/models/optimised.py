"""Compilation of what takes longer to run than to compile: a convolution alone."""

import functools

import jax

#: `jax.jit` with some of the optimisation that tests go without (tests/conftest.py).
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 1})
