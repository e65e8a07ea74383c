"""Repetitions that take turns, round by round, in one call: such as those for full batches and for a smaller last one.

Each goes through a part of an order of rows, which is another one each round. Start reading at `Rounds.run`.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from .driver import Turn, Turns
from .memory import address_of
from .repetition import Repetition, settling
from .shuffling import Order


class Share(NamedTuple):
    """What one repetition does in a round.

    Attributes
    ----------
    repetition : Repetition
        What makes the steps.
    steps : int
        How many.
    position : int
        Of the scanned argument, which the rows are.
    start : int
        Where they begin in the order.
    """

    repetition: Repetition
    steps: int
    position: int
    start: int

    def turn(self, order: Order) -> Turn:
        """The same for the driver."""
        first_row = address_of(order.rows) + order.rows.itemsize * self.start
        return Turn(self.repetition.program, self.steps, self.repetition.slot_address(self.position), first_row)


class Rounds:
    """Repetitions that take turns.

    Parameters
    ----------
    shares : sequence of Share
        One or two, which are `possible`.
    order : Order
        The order.
    """

    def __init__(self, shares: Sequence[Share], order: Order) -> None:
        self._repetitions = [share.repetition for share in shares]
        self._turns = Turns([share.turn(order) for share in shares], order)
        # Locks of kernels are taken in one order, so that two such rounds can't wait for one another.
        executables = dict.fromkeys(repetition.executable for repetition in self._repetitions)
        self._last, *self._others = sorted(executables, key=id)

    @staticmethod
    def possible(repetitions: Sequence[Repetition]) -> bool:
        """Whether these can take turns: one thread runs them, on the same variables; two only write in place."""
        if len(repetitions) == 1:
            return repetitions[0].is_alone
        variables = [{id(variable) for variable in each.executable.variables} for each in repetitions]
        return variables[0] == variables[1] and all(each.is_alone and each.writes_in_place for each in repetitions)

    def run(self, rounds: int) -> int:
        """Run so many rounds, or as far as all steps succeed.

        Returns
        -------
        int
            The status of the kernel that failed, 0 if none did; `done` says how many steps were made.
        """
        self._turns.prepare()
        status: int
        if self._others:
            (other,) = self._others
            with other.lock:
                status = self._last.exclusively(self._locked, rounds)
        else:
            status = self._last.exclusively(self._locked, rounds)
        return status

    def _locked(self, rounds: int) -> int:
        if len(self._repetitions) == 1:
            bound = self._repetitions[0].bound()
            return settling(bound, partial(self._turns.run, rounds), lambda: self.done[0])
        for repetition in self._repetitions:
            repetition.own()
        for repetition in self._repetitions:
            repetition.bound()  # nothing that has to be settled
        return self._turns.run(rounds)

    @property
    def done(self) -> list[int]:
        """How many steps of each the latest run has completed."""
        return self._turns.done
