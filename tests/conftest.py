"""What every test shares."""

import os

# Half of a network's compilation is LLVM's optimisation, and tests compile far longer
# than they run. XLA's own passes, and what they decide, stay. Set before JAX starts and
# handed down to the programs that the tests call; XLA_FLAGS= (empty) brings it back.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

LONG = ("commands", "training", "models")  # rooms


def pytest_collection_modifyitems(items):
    """The rooms whose files take minutes first, so that the workers end together."""
    items.sort(key=lambda item: item.path.parent.name not in LONG)
