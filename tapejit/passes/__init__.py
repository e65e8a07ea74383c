"""Passes: Graph → Graph, then Graph → LoopPlan.

Floor 10. `prepare.prepare` runs what makes graphs simpler, in each process that traces; `plan.plan_loops` turns the
result into loops over buffers, where a kernel is built or read. Passes ask primitives for properties (`lowering`) and
never name one.
"""
