"""What is set before anything is imported: two workers share two cores, and the commands they start are compiled."""

import os
import sys

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
for library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # threads that wait for a core spin
    os.environ.setdefault(library, "1")
