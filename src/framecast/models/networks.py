"""From a configuration to the network that it names."""

from framecast.models.config import ForecasterConfig
from framecast.models.forecaster import Forecaster
from framecast.models.recogniser import Recogniser
from framecast.models.spec import Ports


def make_network(
    config: ForecasterConfig, ports: Ports, grid: tuple[int, int] | None
) -> Forecaster:
    """Build a forecaster, or, with a classifier, a recogniser.

    Args:
        config: the network.
        ports: channels, and classes.
        grid: (H, W) of the frames.

    Raises:
        ValueError: if options contradict each other or the channels, or do not suit the grid.
    """
    kind = Forecaster if config.classifier == "none" else Recogniser
    return kind(config, ports, grid=grid)
