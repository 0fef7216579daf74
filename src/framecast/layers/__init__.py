"""Recurrent layers, one family a file, and the stacks that are made of them."""

from framecast.layers.causal_conv_3d import CausalConv3D
from framecast.layers.conv_gru import ConvGRU
from framecast.layers.conv_lstm import ConvLSTM, LSTMState, TensorTrain
from framecast.layers.conv_s5 import ConvS5
from framecast.layers.conv_ssm import ConvSSM
from framecast.layers.conv_tt_lstm import ConvTTLSTM, HistoryState
from framecast.layers.entry import layer_entry, layer_names, register
from framecast.layers.min_conv import MinConvExpLSTM, MinConvGRU, MinConvLSTM
from framecast.layers.recurrence import Recurrence, State
from framecast.layers.stacks import PlainStack, ResidualStack, SkipStack
from framecast.layers.transformer import Transformer

__all__ = [
    "CausalConv3D",
    "ConvGRU",
    "ConvLSTM",
    "ConvS5",
    "ConvSSM",
    "ConvTTLSTM",
    "HistoryState",
    "LSTMState",
    "MinConvExpLSTM",
    "MinConvGRU",
    "MinConvLSTM",
    "PlainStack",
    "Recurrence",
    "ResidualStack",
    "SkipStack",
    "State",
    "TensorTrain",
    "Transformer",
    "layer_entry",
    "layer_names",
    "register",
]
