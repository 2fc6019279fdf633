"""What is set before anything is imported: two workers share two cores, and the commands they start are compiled."""

import os
import sys

from hypothesis import HealthCheck, settings

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
for library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "SETPOINT_THREADS"):  # threads that wait for a core spin
    os.environ.setdefault(library, "1")

# How long a machine takes is nothing that a test may fail on.
settings.register_profile("timeless", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("timeless")
