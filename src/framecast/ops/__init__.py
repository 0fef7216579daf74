"""Mathematics on tensors: pure functions, no modules, no configuration."""

from framecast.ops.scan import linear_scan, min_exp_lstm_scan, min_gru_scan, min_lstm_scan

__all__ = ["linear_scan", "min_exp_lstm_scan", "min_gru_scan", "min_lstm_scan"]
