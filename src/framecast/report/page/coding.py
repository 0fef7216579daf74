"""Fields as text: rounded to whole numbers, so that a page of a few megabytes holds them."""

import base64
import zlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Coding(NamedTuple):
    """How values became whole numbers: value = low + step · (code − 1); code 0 is a missing one.

    Attributes:
        low: the value of code 1.
        step: from code to code.
        levels: the greatest code; values beyond it, or below code 1, are cut to it.
        size: bytes of a code, 1 or 2.
    """

    low: float
    step: float
    levels: int
    size: int

    @classmethod
    def between(cls, low: float, high: float, size: int) -> "Coding":
        """Return the finest coding of a range in codes of 1 or 2 bytes."""
        levels = 256**size - 1
        return cls(low, (high - low) / (levels - 1) or 1.0, levels, size)

    def encode(self, fields: Float[np.ndarray, "*any H W"]) -> str:
        """Return fields as text: codes, each less its left neighbour's, deflated, in base64.

        Codes of two bytes are written as all high bytes of a field, then all low ones.
        """
        codes = np.rint((fields - self.low) / self.step) + 1
        codes = np.where(np.isnan(codes), 0, codes.clip(1, self.levels)).astype(np.int64)
        differences = np.diff(codes, axis=-1, prepend=0) % 256**self.size
        planes = [differences >> 8 * place & 255 for place in reversed(range(self.size))]
        packed = np.stack(planes, axis=-3).astype(np.uint8).tobytes()
        return base64.b64encode(zlib.compress(packed, 6)).decode()

    def decode(self, text: str, shape: tuple[int, ...]) -> Float[np.ndarray, "*any"]:
        """Return the values of fields of a shape [..., H, W], NaN where they are missing."""
        packed = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
        planes = packed.reshape(*shape[:-2], self.size, *shape[-2:]).astype(np.int64)
        weights = 256 ** np.arange(self.size)[::-1]
        codes = np.einsum("...shw,s->...hw", planes, weights).cumsum(-1) % 256**self.size
        return np.where(codes == 0, np.nan, self.low + self.step * (codes - 1.0))
