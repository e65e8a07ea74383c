"""``python -m tapejit demo``: two programs as a user writes them, eager and compiled, with what they cost.

Top floor. `line` and `digits` are the programs, written with the public API only; `__main__` runs, times and shows
them, `pictures` in the terminal and `drawing` in a file. Start reading in `line`.
"""
