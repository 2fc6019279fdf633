"""Every public function of `setpoint.stats` has an example that runs, and importing stays light."""

import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import setpoint.stats

MODULES = [module.name for module in pkgutil.iter_modules(setpoint.stats.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_hold(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"setpoint.stats.{name}"))
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("name", MODULES)
def test_every_public_function_shows_an_example(name: str) -> None:
    module = importlib.import_module(f"setpoint.stats.{name}")
    functions = [
        (function_name, function)
        for function_name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not function_name.startswith("_")
    ]
    bare = [function_name for function_name, function in functions if ">>>" not in (function.__doc__ or "")]
    assert bare == []


def test_importing_everything_loads_no_scipy_stats() -> None:
    imports = "; ".join(f"import setpoint.stats.{name}" for name in MODULES)
    heavy = "{'scipy.stats', 'scipy.optimize', 'pandas', 'sklearn', 'duckdb'}"
    code = f"import sys; {imports}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
