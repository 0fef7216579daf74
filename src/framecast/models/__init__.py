"""Recurrent layers, one family a file, and the network made of them."""

from framecast.models.config import ForecasterConfig
from framecast.models.conv_gru import ConvGRU
from framecast.models.conv_lstm import ConvLSTM, LSTMState, TTConvLSTM
from framecast.models.conv_s5 import ConvS5
from framecast.models.conv_ssm import ConvSSM
from framecast.models.conv_tt_lstm import ConvTTLSTM, HistoryState
from framecast.models.forecaster import Forecaster
from framecast.models.min_conv import MinConvExpLSTM, MinConvGRU, MinConvLSTM
from framecast.models.recurrence import Recurrence, State
from framecast.models.registry import layer_entry, layer_names
from framecast.models.stacks import ResidualStack, SkipStack
from framecast.models.transformer import Transformer

__all__ = [
    "ConvGRU",
    "ConvLSTM",
    "ConvS5",
    "ConvSSM",
    "ConvTTLSTM",
    "Forecaster",
    "ForecasterConfig",
    "HistoryState",
    "LSTMState",
    "MinConvExpLSTM",
    "MinConvGRU",
    "MinConvLSTM",
    "Recurrence",
    "ResidualStack",
    "SkipStack",
    "State",
    "TTConvLSTM",
    "Transformer",
    "layer_entry",
    "layer_names",
]
