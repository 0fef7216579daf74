"""Plain values into dataclasses: what does not fit is named."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from framecast.base.plain import build


@dataclass(frozen=True)
class Inner:
    name: str
    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True)
class Outer:
    count: int
    share: float
    inner: Inner
    several: tuple[Inner, ...] = ()
    pair: tuple[int, int] | None = None
    named: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    anything: Any = None
    flags: list[bool] = field(default_factory=list)

    def __post_init__(self):
        if self.count < 0:
            raise ValueError(f"count {self.count} must not be negative")


WHOLE = {
    "count": 1,
    "share": 2,
    "inner": {"name": "x"},
    "several": [{"name": "y", "kind": "b"}],
    "pair": [3, 4],
    "named": {"t": [0.5, None]},
    "anything": {"deep": [1]},
    "flags": [True],
}


def test_what_fits_is_built():
    built = build(Outer, WHOLE, "it")
    assert built == Outer(
        count=1,
        share=2.0,
        inner=Inner("x"),
        several=(Inner("y", "b"),),
        pair=(3, 4),
        named={"t": (0.5, None)},
        anything={"deep": [1]},
        flags=[True],
    )
    assert type(built.share) is float


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"count": True}, "it.count must be a whole number, not True"),
        ({"count": 1.5}, "it.count must be a whole number"),
        ({"count": "1"}, "it.count must be a whole number, not '1'"),
        ({"count": -1}, "it: count -1 must not be negative"),
        ({"inner": None}, "it.inner must be names and values"),
        ({"inner": {}}, "it.inner.name is missing"),
        ({"inner": {"name": "x", "kind": "c"}}, "it.inner.kind must be one of a, b"),
        ({"inner": {"name": "x", "more": 1}}, "it.inner.more is unknown"),
        ({"several": [{"name": 3}]}, r"it.several\[0\].name must be text"),
        ({"pair": [1]}, "it.pair must be"),
        ({"named": {"t": [1]}}, "it.named.t must have 2 entries"),
        ({"named": [1]}, "it.named must be"),
        ({"flags": [1]}, r"it.flags\[0\] must be true or false"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_named(change, said):
    with pytest.raises(ValueError, match=said):
        build(Outer, WHOLE | change, "it")
