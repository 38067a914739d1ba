import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from vnet_jax.commands import run

if __name__ == "__main__":
    run("compare")
