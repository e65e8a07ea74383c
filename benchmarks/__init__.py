"""tapejit against what else a user would pick; `python -m benchmarks` runs it, README.md says how."""
