"""Commands that tests start find their modules compiled: to compile them all takes longer than most commands."""

import os
import sys

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
