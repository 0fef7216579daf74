"""The scans as published: in the log domain, through cumulative sums over all of time.

a* = cumsum(log a), log h = a* + logcumsumexp(log b − a*): parallel over time, at the price
of transcendental functions on every element and of the precision lost where a* grows
large. It is the baseline of the benchmarks and is not used by any layer. States and inputs
must be positive.

Source: Minimal Convolutional RNNs (2025), equations 1 to 6; Heinsen (2023).
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def linear_scan(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """h_t = a_t ⊙ h_{t−1} + b_t for positive a, b [B,T,...] and h0 [B,...]."""
    return _scan_of_logs(a.log(), b.log(), h0.log())


def min_gru_scan(gates: Tensor, h0: Tensor) -> Tensor:
    """MinGRU in the log domain; gates [B,T,2C,...] = [k, u], h0 [B,C,...] positive."""
    k, u = gates.chunk(2, dim=2)
    return _scan_of_logs(-F.softplus(k), -F.softplus(-k) + _log_candidate(u), h0.log())


def min_lstm_scan(gates: Tensor, h0: Tensor) -> Tensor:
    """MinLSTM in the log domain; gates [B,T,3C,...] = [f, i, u], h0 [B,C,...] positive."""
    f, i, u = gates.chunk(3, dim=2)
    difference = F.softplus(-f) - F.softplus(-i)
    log_input = -F.softplus(-difference) + _log_candidate(u)
    return _scan_of_logs(-F.softplus(difference), log_input, h0.log())


def min_exp_lstm_scan(gates: Tensor, h0: Tensor) -> Tensor:
    """MinExpLSTM in the log domain; gates [B,T,3C,...] = [f, i, u], h0 [B,C,...] positive."""
    f, i, u = gates.chunk(3, dim=2)
    return _scan_of_logs(-F.softplus(i - f), -F.softplus(f - i) + _log_candidate(u), h0.log())


def _log_candidate(u: Tensor) -> Tensor:
    return torch.where(u >= 0, (F.relu(u) + 0.5).log(), -F.softplus(-u))


def _scan_of_logs(log_a: Tensor, log_b: Tensor, log_h0: Tensor) -> Tensor:
    log_a = torch.cat([torch.zeros_like(log_h0).unsqueeze(1), log_a], dim=1)
    a_star = log_a.cumsum(dim=1)
    log_values = torch.cat([log_h0.unsqueeze(1), log_b], dim=1)
    return (a_star + (log_values - a_star).logcumsumexp(dim=1)).exp()[:, 1:]
