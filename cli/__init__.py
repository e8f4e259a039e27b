"""The command lines: parse, call one library function, print."""

import os

# Read when torch is loaded, and inherited by worker processes; a GOMP_SPINCOUNT of the user's counts for more. By
# default threads spin where they wait for each other, in every layer: a neighbour on a core costs a factor of ten.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
