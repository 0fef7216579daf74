"""What a training run is made of."""

from dataclasses import dataclass, field
from typing import Literal

from framecast.data.sources import DataConfig
from framecast.models import ForecasterConfig


@dataclass(frozen=True)
class TrainingConfig:
    """How the network is trained.

    Attributes:
        context: frames given before each forecast (teacher forcing), at least 1.
        horizon: lead times of the forecast in training, at least 1. Lead 1 follows from the
            last given frame; from lead 2 on the network reads its own predictions. The loss
            is over all context + horizon - 1 predictions.
        noise: standard deviation of the noise added to given frames as the network sees them
            (normalised), at least 0.
        loss: mse, l1 (mean absolute error), or l1_mse (their sum).
        epochs: passes over the training sequences, at least 1.
        batch_size: windows in a step, at least 1.
        optimiser: adam (weight decay is added to the gradient) or adamw (decoupled).
        learning_rate: at its highest, positive.
        weight_decay: at least 0.
        schedule: of the learning rate: constant; cosine, down to zero at the last step;
            plateau, halved when the validation loss has not fallen for plateau_epochs
            (needs validation frames).
        plateau_epochs: patience of the plateau schedule, in epochs, at least 1.
        warmup_steps: steps over which the learning rate rises from near zero, at least 0.
        clip: largest norm of the gradient; null for no clipping.
        patience: stop after this many epochs without a lower loss (of validation, or of training
            where there is no validation); null: never.
        precision: 32, or bf16-mixed (convolutions in bfloat16, weights in float32).
        compile: whether the unrolled network is compiled with torch.compile.
        seed: of weights, windows and noise.
    """

    context: int = 10
    horizon: int = 5
    noise: float = 0.0
    loss: Literal["mse", "l1", "l1_mse"] = "mse"
    epochs: int = 30
    batch_size: int = 1
    optimiser: Literal["adam", "adamw"] = "adam"
    learning_rate: float = 5e-4
    weight_decay: float = 0.0
    schedule: Literal["constant", "cosine", "plateau"] = "cosine"
    plateau_epochs: int = 5
    warmup_steps: int = 0
    clip: float | None = None
    patience: int | None = None
    precision: Literal[32, "bf16-mixed"] = 32
    compile: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("context", "horizon", "epochs", "batch_size", "plateau_epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"training.{name} {getattr(self, name)} must be at least 1")
        for name in ("noise", "weight_decay", "warmup_steps", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"training.{name} {getattr(self, name)} must not be negative")
        for name in ("learning_rate", "clip", "patience"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"training.{name} {value} must be positive")

    @property
    def window(self) -> int:
        """Frames of a training window."""
        return self.context + self.horizon


@dataclass(frozen=True)
class Experiment:
    """A whole run: data, network and training.

    Attributes:
        data: the frames to learn from.
        model: the network.
        training: how it is trained.
    """

    data: DataConfig = field(default_factory=DataConfig)
    model: ForecasterConfig = field(default_factory=ForecasterConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
