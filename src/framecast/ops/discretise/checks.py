"""What discretisation asks of its arguments."""

from torch import Tensor

from framecast.ops.checks import check_floats


def check_sampling(op: str, lam_re: Tensor, lam_im: Tensor, step: Tensor) -> None:
    """Eigenvalues [P] and steps [...,P]."""
    check_floats(op, lam_re=lam_re, lam_im=lam_im, step=step)
    if lam_re.ndim != 1 or lam_re.shape != lam_im.shape or step.shape[-1:] != lam_re.shape:
        raise ValueError(
            f"{op}: Λ {list(lam_re.shape)}, {list(lam_im.shape)} must both be [P], and step "
            f"{list(step.shape)} must be [..., P]"
        )
