"""Kidney and kidney-tumour segmentation in abdominal CT, with JAX and Flax."""

__version__ = "0.1.0"

__all__ = ["__version__", "load"]


def __getattr__(name: str):
    # `load` pulls in JAX; `import vnet_jax` alone stays instant.
    if name == "load":
        from vnet_jax.inference.load import load

        return load
    raise AttributeError(f"module 'vnet_jax' has no attribute {name!r}")
