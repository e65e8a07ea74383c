"""Control flow in the graph: loops and branches whose bodies are regions.

Floor 10. `primitives` has the operations that a graph holds.
"""
