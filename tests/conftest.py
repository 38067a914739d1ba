"""What every test shares."""

import os

# Half of a network's compilation is LLVM's optimisation, and tests compile far longer
# than they run. XLA's own passes, and what they decide, stay. Set before JAX starts and
# handed down to the programs that the tests call; XLA_FLAGS= (empty) brings it back.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
