"""The cheapest way to cut all paths from the source of a network to its sink.

E. A. Dinic, "Algorithm for solution of a problem of maximum flow in networks with power estimation", Soviet Math.
Doklady 11, 1970. Walks are iterative, so that long networks never meet the recursion limit.
"""

from collections.abc import Iterable


class Network:
    """Vertices 0 to `size` - 1 and edges with whole capacities."""

    def __init__(self, size: int) -> None:
        self._edges: list[list[int]] = [[] for _ in range(size)]  # numbers of the edges that leave a vertex
        self._ends: list[int] = []
        self._left: list[int] = []  # capacity that is left; that of an edge's reverse has the number xor 1

    def connect(self, start: int, end: int, capacity: int) -> None:
        """Add an edge."""
        for vertex, other, room in ((start, end, capacity), (end, start, 0)):
            self._edges[vertex].append(len(self._ends))
            self._ends.append(other)
            self._left.append(room)

    def source_side(self, source: int, sink: int) -> set[int]:
        """The vertices on the source's side of a minimum cut, of several the one with the fewest of them."""
        while True:
            levels = self._levels(source)
            if sink not in levels:
                return set(levels)
            self._saturate(source, sink, levels)

    def _levels(self, source: int) -> dict[int, int]:
        """Distances from the source along edges that have room."""
        levels, queue = {source: 0}, [source]
        for vertex in queue:  # which grows
            for end in self._open(vertex):
                if end not in levels:
                    levels[end] = levels[vertex] + 1
                    queue.append(end)
        return levels

    def _open(self, vertex: int) -> Iterable[int]:
        return [self._ends[edge] for edge in self._edges[vertex] if self._left[edge]]

    def _saturate(self, source: int, sink: int, levels: dict[int, int]) -> None:
        """Send what fits along paths that go up one level with each edge."""
        tried = dict.fromkeys(levels, 0)  # how many edges of a vertex lead nowhere any more
        path: list[int] = []  # edges from the source
        vertex = source
        while True:
            edges = self._edges[vertex]
            while tried[vertex] < len(edges):
                edge = edges[tried[vertex]]
                if self._left[edge] and levels.get(self._ends[edge]) == levels[vertex] + 1:
                    break
                tried[vertex] += 1
            if tried[vertex] < len(edges):
                path.append(edges[tried[vertex]])
                vertex = self._ends[path[-1]]
                if vertex == sink:
                    vertex = self._send(path)
            elif path:
                vertex = self._ends[path.pop() ^ 1]
                tried[vertex] += 1
            else:
                return

    def _send(self, path: list[int]) -> int:
        """Send what fits along a path, and shorten it to where it is still open; returns the vertex there."""
        amount = min(self._left[edge] for edge in path)
        for edge in path:
            self._left[edge] -= amount
            self._left[edge ^ 1] += amount
        full = next(place for place, edge in enumerate(path) if not self._left[edge])
        vertex = self._ends[path[full] ^ 1]
        del path[full:]
        return vertex
