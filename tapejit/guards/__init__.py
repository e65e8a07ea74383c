"""Guards: what a traced function read by name from Python, and whether it still holds.

A trace turns Python values into constants. Each value that the user's functions read *by name* while they
were traced (globals, closure cells, defaults, attributes and constant keys on the way) is remembered here and
compared at every later call, so that nothing is baked silently.

Start with `recorder`: it follows the user's frames during a trace. `bytecode` says which names a code object
reads, `paths` where a name leads at run time, `values` what counts as unchanged, `check` compares at each
call, `origin` tells the user's files from libraries and `randomness` notices draws from Python's and NumPy's
generators. `snapshots` puts back what containers held when a trace comes to nothing.
"""

from __future__ import annotations

from tapejit.guards.check import Change, GuardSet
from tapejit.guards.recorder import AssignedOnceError, Recorder, Unguarded

__all__ = ["AssignedOnceError", "Change", "GuardSet", "Recorder", "Unguarded"]
