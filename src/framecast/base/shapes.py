"""The legend of dimensions, and the few array types built from it.

====  =======================================================================
B     batch: independent sequences, computed together
T     time: frames of one sequence, oldest first
C     channels: the variables of a frame, or the features of a hidden state
H     height: grid rows (latitude, y)
W     width: grid columns (longitude, x)
N     sequences in a data set (trajectories, videos); a single series has N = 1
K     lead times of a forecast: lead 1 is the first frame that was not seen
====  =======================================================================

Annotations are documentation in use and are enforced in tests only. `_C` is not compared
between arguments: layers change the number of channels.
"""

from jaxtyping import Float
from torch import Tensor

Frame = Float[Tensor, "B _C H W"]
FrameSequence = Float[Tensor, "B T _C H W"]
