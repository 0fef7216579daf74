"""How a network is trained."""

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from framecast.models.losses import Loss
from framecast.models.unroll import Unrolling

Precision = Literal["auto", 32, "bf16-mixed"]


@dataclass(frozen=True)
class TrainingConfig:
    """How the network is trained.

    Attributes:
        context: frames given before each forecast (teacher forcing), at least 1.
        horizon: lead times of the forecast in training, at least 1. Lead 1 follows from the
            last given frame; from lead 2 on the network reads its own predictions. The loss
            is over all context + horizon - 1 predictions. A tokeniser, which forecasts nothing,
            has 0, and reads windows of context frames, each by itself.
        teacher_forcing: probability, in [0, 1], that in training the network reads the truth
            instead of its own prediction, for each sequence and each frame after the context
            (scheduled sampling). With 1 a window trains in one pass. Validation is always a
            forecast.
        teacher_forcing_decay: by how much teacher_forcing falls in each epoch of decay, at least
            0.
        noise: standard deviation of the noise added to given frames as the network sees them
            (normalised), at least 0.
        loss: what training makes small: mse, l1 (absolute error), l1_mse (their sum), crps (of
            members), or head (of model.head). It is the mean of each variable over what is known
            of it, then the mean over the variables.
        members: forecasts of each window that differ by their noise, for loss crps: at least 2.
            The others have 1.
        crps_epsilon: by how much the loss crps falls short of fair, from 0, fair, to 1/members,
            the plain CRPS. A small one keeps members apart that fairness alone would not.
        spectral_weight: how much the CRPS of Fourier amplitudes on all scales is added to the
            loss crps, at least 0.
        variable_weights: how much a variable counts in the loss, by its name; 1 for those that
            are not named.
        prediction_weight: λ, by which the error of predicted frames counts beside the cross-entropy
            of the classes (model.classifier), at least 0. The loss is λ·error + cross-entropy,
            means over the windows.
        prediction_weight_decay: by how much prediction_weight falls, down to 0, at each plateau of
            the validation loss (plateau_epochs), at least 0.
        prediction_sum: whether the error of predicted frames is a sum over all values of a window,
            as in the paper, rather than their mean (model.classifier).
        label_smoothing: share of the probability that a label leaves to all classes alike, in
            [0, 1) (model.classifier).
        class_weights: by how much a class counts in the cross-entropy, by its name; 1 for those
            that are not named (model.classifier).
        area_weights: whether cells count by their area in the loss.
        epochs: passes over the training sequences, at least 1.
        batch_size: windows in a batch, at least 1.
        accumulate: batches whose gradients make one step of the optimiser, at least 1.
        optimiser: rule of the steps: adam (weight decay is added to the gradient) or adamw
            (decoupled).
        betas: decay of the optimiser's running means of gradients, and of their squares, both in
            [0, 1).
        learning_rate: learning rate at its highest, positive.
        weight_decay: strength of the decay of weights, at least 0.
        schedule: course of the learning rate: constant; cosine, down to zero at the last step;
            epoch_cosine, the same in steps of an epoch; plateau, halved at each plateau;
            staircase, multiplied by staircase_factor after every staircase_epochs epochs of decay.
        staircase_factor: what the staircase schedule multiplies the learning rate by, in (0, 1).
        staircase_epochs: epochs from one step of the staircase to the next, at least 1.
        plateau_epochs: epochs without a lower validation loss that make a plateau. The epochs
            of decay are those after the first plateau; with 0, all but the first.
        warmup_steps: steps over which the learning rate rises from near zero, at least 0.
        gradient_clip: largest norm of the gradient; null for no clipping.
        patience: stop after this many epochs without a lower loss (of validation, or of training
            where there is no validation); null: never.
        chunk: frames that run at a time, of long windows; null for all. What lies inside a
            chunk is computed again in the backward pass instead of kept. Gradients are exact.
        truncate: whether gradients end between chunks, and nothing is computed again.
        recompute_layers: whether what lies inside a layer is computed again in the backward
            pass instead of kept.
        precision: numbers of a step: 32, bf16-mixed, or auto. Mixed means convolutions in
            bfloat16, and weights in float32. With auto, the one that this machine multiplies
            faster is chosen when a run begins, and kept when it is resumed.
        init: run folder or checkpoint whose weights a new run starts from; null for random ones.
            Channels are matched by name; the weights of new ones start at zero. Tokenisers and
            world models take all weights, of runs with the same channels and actions.
        save_minutes: minutes after which the state is saved within an epoch, so that a run that is
            killed can be resumed from there; null for the ends of epochs alone.
        compile: whether the unrolled network is compiled with torch.compile.
        devices: processes that train together, each on a GPU of its own or with its share of the
            cores, and on its part of every batch: at least 1; auto for all GPUs, or 1 without one.
        time_parallel: how many of these processes share the time of each window, each with a
            segment of it, at least 1, so that long windows fit into memory; for layers that are
            linear in their state (min_conv_*, conv_s5, conv_ssm). Frames after the context are of
            the last of them.
        shard_weights: whether each process keeps a part of every weight, of its gradient and of the
            optimiser's state, for networks that do not fit into one (FSDP2).
        seed: of weights, windows, noise and scheduled sampling.
    """

    RENAMED = MappingProxyType(
        {
            "clip": "gradient_clip",
            "checkpoint_layers": "recompute_layers",
            "decay_factor": "staircase_factor",
            "decay_every": "staircase_epochs",
        }
    )
    RENAMED_VALUES = MappingProxyType({"schedule": {"decay": "staircase"}})
    """Names that keys, and values, had before."""

    context: int = 10
    horizon: int = 5
    teacher_forcing: float = 0.0
    teacher_forcing_decay: float = 0.0
    noise: float = 0.0
    loss: Loss = "mse"
    members: int = 1
    crps_epsilon: float = 0.0
    spectral_weight: float = 0.0
    variable_weights: dict[str, float] = field(default_factory=dict)
    prediction_weight: float = 1.0
    prediction_weight_decay: float = 0.0
    prediction_sum: bool = False
    label_smoothing: float = 0.0
    class_weights: dict[str, float] = field(default_factory=dict)
    area_weights: bool = False
    epochs: int = 30
    batch_size: int = 1
    accumulate: int = 1
    optimiser: Literal["adam", "adamw"] = "adam"
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    learning_rate: float = 5e-4
    weight_decay: float = 0.0
    schedule: Literal["constant", "cosine", "epoch_cosine", "plateau", "staircase"] = "cosine"
    staircase_factor: float = 0.98
    staircase_epochs: int = 5
    plateau_epochs: int = 5
    warmup_steps: int = 0
    gradient_clip: float | None = None
    patience: int | None = None
    chunk: int | None = None
    truncate: bool = False
    recompute_layers: bool = False
    precision: Precision = "auto"
    init: str | None = None
    save_minutes: float | None = 10.0
    compile: bool = False
    devices: int | Literal["auto"] = 1
    time_parallel: int = 1
    shard_weights: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        self._check_ranges()
        self._check_sense()

    def _check_ranges(self) -> None:
        for name in ("context", "epochs", "batch_size", "accumulate", "members", "time_parallel"):
            self._require(name, getattr(self, name) >= 1, "must be at least 1")
        self._require("horizon", self.horizon >= 0, "must not be negative")
        right = len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)
        self._require("betas", right, "must be two numbers in [0, 1)")
        self._require("staircase_epochs", self.staircase_epochs >= 1, "must be at least 1")
        fewest = 1 if self.schedule == "plateau" or self.prediction_weight_decay else 0
        self._require("plateau_epochs", self.plateau_epochs >= fewest, f"must be at least {fewest}")
        for name in (
            *("noise", "weight_decay", "warmup_steps", "seed", "teacher_forcing_decay"),
            *("crps_epsilon", "spectral_weight", "prediction_weight", "prediction_weight_decay"),
        ):
            self._require(name, getattr(self, name) >= 0, "must not be negative")
        self._require("devices", self.devices == "auto" or self.devices >= 1, "must be at least 1")
        self._require("seed", self.seed < 2**32, "must be below 4294967296 (2^32)")
        for name in ("learning_rate", "gradient_clip", "patience", "chunk", "save_minutes"):
            value = getattr(self, name)
            self._require(name, value is None or value > 0, "must be positive")
        fair = self.crps_epsilon <= 1 / self.members
        self._require("crps_epsilon", fair, f"must be at most 1/{self.members} (1/members)")
        self._require("teacher_forcing", 0 <= self.teacher_forcing <= 1, "must be in [0, 1]")
        self._require("label_smoothing", 0 <= self.label_smoothing < 1, "must be in [0, 1)")
        self._require("staircase_factor", 0 < self.staircase_factor < 1, "must be between 0 and 1")

    def _check_sense(self) -> None:
        """Refuse keys that would change nothing."""
        inputs = self.window - 1
        for name, read, remedy in (
            ("teacher_forcing", self.horizon > 1, "all frames are given: choose a horizon above 1"),
            ("teacher_forcing_decay", self.teacher_forcing > 0, "set training.teacher_forcing"),
            (
                "staircase_factor",
                self.schedule == "staircase",
                "set training.schedule to staircase",
            ),
            (
                "staircase_epochs",
                self.schedule == "staircase",
                "set training.schedule to staircase",
            ),
            (
                "plateau_epochs",
                self.decays or self.schedule == "plateau" or self.prediction_weight_decay > 0,
                "set training.schedule to plateau or staircase, or training.teacher_forcing_decay "
                "or training.prediction_weight_decay",
            ),
            (
                "prediction_weight_decay",
                self.prediction_weight > 0,
                "set training.prediction_weight",
            ),
            (
                "prediction_sum",
                self.prediction_weight > 0,
                "set training.prediction_weight",
            ),
            ("crps_epsilon", self.loss == "crps", "set training.loss crps"),
            ("spectral_weight", self.loss == "crps", "set training.loss crps"),
            ("truncate", self.chunk is not None, "set training.chunk"),
            ("chunk", (self.chunk or 0) < inputs, f"a window has {inputs} inputs: choose fewer"),
        ):
            unset = getattr(self, name) == type(self).__dataclass_fields__[name].default
            self._require(name, unset or read, f"would change nothing: {remedy}")
        self._require(
            "compile",
            not (self.compile and self.samples),
            "would compile anew at every step of scheduled sampling: choose one of them",
        )
        self._check_time_parallel()
        self._check_sharding()
        if (self.members > 1) != (self.loss == "crps"):
            raise ValueError(
                f"training.members {self.members} and training.loss {self.loss} do not fit: the "
                "loss crps is of an ensemble of 2 members or more, and no other one is"
            )
        for key in ("variable_weights", "class_weights"):
            for name, weight in getattr(self, key).items():
                if weight < 0:
                    raise ValueError(f"training.{key} {name}: {weight} must not be negative")

    def _check_time_parallel(self) -> None:
        """Refuse what has no meaning beside segments of time."""
        if self.time_parallel == 1:
            return
        self._require(
            "time_parallel",
            self.time_parallel <= self.context,
            f"leaves nothing of the {self.context} given frames (training.context) for some "
            "processes: choose fewer",
        )
        for name, remedy in (
            ("chunk", "use more processes, or training.recompute_layers"),
            ("compile", "leave it out"),
        ):
            if getattr(self, name):
                raise ValueError(
                    f"training.{name} and training.time_parallel {self.time_parallel} do not fit, "
                    f"since processes tell one another between the layers of a pass: {remedy}"
                )

    def _check_sharding(self) -> None:
        """Refuse what would let processes go through their layers in different order."""
        if not self.shard_weights:
            return
        for name, differs, remedy in (
            ("teacher_forcing", self.samples, "0 or 1"),
            ("compile", self.compile, "false"),
            ("chunk", self.chunk is not None and not self.truncate, "null, or add truncate true"),
            ("time_parallel", self.time_parallel > 1 and self.horizon > 1, "1, or horizon 1"),
        ):
            if differs:
                raise ValueError(
                    f"training.{name} {getattr(self, name)} and training.shard_weights do not fit, "
                    "since all processes put together the weights of the same layer at the same "
                    f"time: set training.{name} to {remedy}"
                )

    def _require(self, name: str, holds: bool, rule: str) -> None:
        if not holds:
            raise ValueError(f"training.{name} {getattr(self, name)} {rule}")

    @property
    def window(self) -> int:
        """Frames of a training window."""
        return self.context + self.horizon

    def unrolling(
        self, teacher_forcing: float | None = None, prediction_weight: float | None = None
    ) -> Unrolling:
        """Return how windows are gone through, with the settings that change with the epoch."""
        return Unrolling(
            context=self.context,
            loss=self.loss,
            members=self.members,
            crps_epsilon=self.crps_epsilon,
            spectral_weight=self.spectral_weight,
            teacher_forcing=self.teacher_forcing if teacher_forcing is None else teacher_forcing,
            noise=self.noise,
            chunk=self.chunk,
            truncate=self.truncate,
            compiled=self.compile,
            prediction_weight=(
                self.prediction_weight if prediction_weight is None else prediction_weight
            ),
            prediction_sum=self.prediction_sum,
            label_smoothing=self.label_smoothing,
        )

    @property
    def samples(self) -> bool:
        """Whether some frames after the context are given in training, and some are not."""
        return 0 < self.teacher_forcing < 1 or self.teacher_forcing_decay > 0

    @property
    def decays(self) -> bool:
        """Whether some epochs of the run are epochs of decay."""
        return self.schedule == "staircase" or self.teacher_forcing_decay > 0

    @property
    def reads_plateaus(self) -> bool:
        """Whether the run depends on plateaus of the validation loss."""
        follows = self.schedule == "plateau" or self.prediction_weight_decay > 0
        return self.plateau_epochs > 0 and (self.decays or follows)
