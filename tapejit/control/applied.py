"""The operations of this room applied, for the rules that belong to them."""

from collections.abc import Iterable
from typing import Any

from ..primitive import REGISTRY, Value, bind


def apply_scan(inputs: Iterable[Value], **params: Any) -> tuple[Any, ...]:
    """The results of a scan; its inputs and params are those of `lowering.ScanRegion`."""
    return bind(REGISTRY["scan"], tuple(inputs), params)  # type: ignore[no-any-return]


def apply_while(inputs: Iterable[Value], **params: Any) -> tuple[Any, ...]:
    """The results of a loop; its inputs and params are those of `lowering.WhileRegion`."""
    return bind(REGISTRY["while_loop"], tuple(inputs), params)  # type: ignore[no-any-return]


def apply_switch(inputs: Iterable[Value], **params: Any) -> tuple[Any, ...]:
    """The results of a branch; its inputs and params are those of `lowering.SwitchRegion`."""
    return bind(REGISTRY["switch"], tuple(inputs), params)  # type: ignore[no-any-return]


def apply_checkpoint(inputs: Iterable[Value], **params: Any) -> tuple[Any, ...]:
    """The results of the region ``body``, which its gradient computes again."""
    return bind(REGISTRY["checkpoint"], tuple(inputs), params)  # type: ignore[no-any-return]


def apply_after(x: Value, ct: Value) -> Any:
    """`x`, as it is known once the scalar `ct` is: no computation of it is one from before."""
    return bind(REGISTRY["after"], (x, ct), {})
