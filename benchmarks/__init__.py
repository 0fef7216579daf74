"""Measurements that anyone can repeat: `python -m benchmarks NAME`.

An entry is a module here with a docstring and a function `run() -> dict`, which checks that
its candidates agree before it times them, prints tables, and returns what is written to
benchmarks/results/PROCESSOR/NAME.json. Where it also has `plot(results) -> Figure`, the
picture is saved beside them.
"""
