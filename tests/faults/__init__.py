"""The fault matrix: every fault that the suite promises to survive, injected and counted.

`matrix.py` declares the 44 rows, `python -m tests.faults` runs them, `page.py` writes docs/reliability.md
from what was recorded. Each row is a function that takes a count and an empty folder, and returns a `Tally`.
"""
