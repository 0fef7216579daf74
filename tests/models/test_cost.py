"""What a network costs: counted as the sizes of its convolutions say."""

from framecast.models import Forecaster, ForecasterConfig
from framecast.models.cost import multiplications

SKIP = {"stack": "skip", "encoder": "none", "norm": "none", "depth": 4, "hidden": [2, 3, 4, 5]}


def test_multiplications_are_those_of_the_convolutions():
    model = Forecaster(ForecasterConfig(layer="conv_lstm", **SKIP), 1)
    layers = [4 * b * (a + b) * 9 for a, b in [(1, 2), (2, 3), (3, 4), (4 + 2, 5)]]
    assert multiplications(model, 6, 7) == 6 * 7 * (sum(layers) + 5 + 3)


def test_multiplications_of_the_tensor_train_count_each_hidden_state_once():
    options = {"order": 2, "history": 4, "ranks": [3, 2], "factor_kernel": 5}
    config = ForecasterConfig(layer="conv_tt_lstm", depth=1, hidden=4, norm="none", options=options)
    windows = 3 * (3 + 2) * 4 * 9
    factors = 25 * (16 * 3 + 3 * 2)
    layer = 16 * 4 * 9 + windows + factors
    assert multiplications(Forecaster(config, 1), 5, 5) == 25 * (4 + layer + 4)
