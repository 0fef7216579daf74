"""Mathematics on tensors: pure functions, no modules, no configuration."""

from framecast.ops.cell import lstm_cell
from framecast.ops.conv_scan import bounded_kernel, conv_scan, spectral_conv_scan
from framecast.ops.diagonal_scan import complex_diagonal_scan
from framecast.ops.norm import residual_norm
from framecast.ops.padding import wrap
from framecast.ops.quantise import (
    finite_scalar,
    finite_scalar_vectors,
    nearest_codes,
    straight_through,
)
from framecast.ops.scan import (
    linear_scan,
    min_exp_lstm_scan,
    min_gru_scan,
    min_lstm_scan,
)
from framecast.ops.tensor_train import (
    conv_tensor_train,
    conv_tensor_train_reconstructed,
    reconstruct_kernels,
    tensor_train_conv,
    train_matrices,
)

__all__ = [
    "bounded_kernel",
    "complex_diagonal_scan",
    "conv_scan",
    "conv_tensor_train",
    "conv_tensor_train_reconstructed",
    "finite_scalar",
    "finite_scalar_vectors",
    "linear_scan",
    "lstm_cell",
    "min_exp_lstm_scan",
    "min_gru_scan",
    "min_lstm_scan",
    "nearest_codes",
    "reconstruct_kernels",
    "residual_norm",
    "spectral_conv_scan",
    "straight_through",
    "tensor_train_conv",
    "train_matrices",
    "wrap",
]
