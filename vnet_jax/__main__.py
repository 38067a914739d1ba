"""`python -m vnet_jax train ...`, where `vnet-jax` is not on the path."""

from vnet_jax.commands.console import start

if __name__ == "__main__":
    start()
