"""A graph as text for people."""

from collections.abc import Mapping

from .ir import Graph, Input, Literal, Node, Part
from .region import regions_of


def show(graph: Graph, names: Mapping[Node, str] | None = None) -> str:
    """The graph, one operation a line, inputs by the user's names where they are known.

    Parameters
    ----------
    graph : Graph
        What to print.
    names : mapping of Node to str, optional
        Names of inputs.
    """
    labels = dict(names or {})
    lines = []
    for node in graph.nodes():
        op = node.op
        if isinstance(op, Literal):
            labels[node] = str(op.value)
            continue
        if isinstance(op, Input):
            labels.setdefault(node, f"{op.kind}{op.position}")
            lines.append(f"{labels[node]}: {node.aval}  # {op.kind}")
            continue
        labels[node] = f"t{len(lines)}"
        operands = ", ".join(labels[value] for value in node.inputs)
        regions = {name: found for name, value in node.params if (found := regions_of([(name, value)]))}
        params = "".join(f", {name}={'below' if name in regions else value}" for name, value in node.params)
        name = f"part {op.index} of" if isinstance(op, Part) else op.name
        place = f"  # {node.where}" if node.where else ""
        lines.append(f"{labels[node]}: {node.aval} = {name}({operands}{params}){place}")
        for name, region in [(name, region) for name, found in regions.items() for region in found]:
            lines.append(f"    {name}:")
            lines.extend("        " + line for line in show(region.graph).splitlines())
    lines.extend(f"assign {labels[variable]} <- {labels[value]}" for variable, value in graph.updates)
    lines.append("return " + ", ".join(labels[node] for node in graph.outputs))
    return "\n".join(lines)
