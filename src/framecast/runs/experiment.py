"""A whole run, data, network and training, and whether its parts fit one another."""

from dataclasses import dataclass, field

from framecast.datasets.config import DataConfig
from framecast.models import ForecasterConfig
from framecast.models.tokeniser_config import TokeniserConfig
from framecast.models.world_config import WorldConfig
from framecast.runs.config import TrainingConfig

CODED = (
    *("encoder", "encoder_options", "encoder_activation", "patch", "output", "predicts"),
    *("head", "head_options", "noise_channels", "classifier", "classifier_options"),
)
"""Keys of the network that the memory of a world model does not read."""
FORECASTS = (
    *("teacher_forcing", "teacher_forcing_decay", "noise", "loss", "members", "crps_epsilon"),
    *("spectral_weight", "variable_weights", "prediction_weight", "prediction_weight_decay"),
    *("prediction_sum", "label_smoothing", "class_weights", "area_weights", "chunk", "truncate"),
    *("recompute_layers", "compile"),
)
"""Keys that training a tokeniser, or a world model, does not read."""
CLASSES = (
    *("prediction_weight", "prediction_weight_decay", "prediction_sum"),
    *("label_smoothing", "class_weights"),
)
"""Keys that only the loss of a network with a classifier reads."""
FRAMES_ALONE = {
    "chunk": "which reads the given frames together: training.recompute_layers saves memory too",
    "compile": "whose loss is made of two passes: leave it out",
    "variable_weights": "whose error of frames is a mean over all values: leave it out",
}
"""Keys that the loss of such a network does not read, and what to do."""


@dataclass(frozen=True)
class Experiment:
    """A whole run: data, network and training.

    Attributes:
        data: the frames to learn from.
        model: the network.
        training: how it is trained.
        tokeniser: what is trained in place of the network, where it has a quantiser.
        world: what is trained in place of the network, where it names the run of a tokeniser; the
            network is then its memory.
    """

    data: DataConfig = field(default_factory=DataConfig)
    model: ForecasterConfig = field(default_factory=ForecasterConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    tokeniser: TokeniserConfig = field(default_factory=TokeniserConfig)
    world: WorldConfig = field(default_factory=WorldConfig)

    def __post_init__(self) -> None:
        if not self.imagines and self.world != WorldConfig():
            raise ValueError(
                "the section world is read where world.tokeniser names the run of a tokeniser: set "
                "it, or leave the section out"
            )
        self._check_label()
        if self.tokenises:
            self._check_tokeniser()
            return
        if self.tokeniser != TokeniserConfig():
            raise ValueError(
                "the section tokeniser is read where tokeniser.quantiser is not none: set it to "
                "euclidean, cosine or levels"
            )
        if self.training.horizon < 1:
            raise ValueError(f"training.horizon {self.training.horizon} must be at least 1")
        if self.imagines:
            self._check_world()
        else:
            self._check_classifier()
            self._check_distribution()

    @property
    def tokenises(self) -> bool:
        """Whether a tokeniser is trained."""
        return self.tokeniser.quantiser != "none"

    @property
    def imagines(self) -> bool:
        """Whether a world model is trained."""
        return self.world.tokeniser is not None

    def _check_world(self) -> None:
        """Refuse keys that training a world model does not read."""
        default, training = ForecasterConfig(), TrainingConfig()
        for name in CODED:
            if getattr(self.model, name) != getattr(default, name):
                raise ValueError(f"model.{name} is not read by the memory of a world model")
        for name in FORECASTS:
            if getattr(self.training, name) != getattr(training, name):
                raise ValueError(f"training.{name} is not read where a world model is trained")
        if self.world.inputs is not None and self.world.inputs >= self.training.window:
            raise ValueError(
                f"world.inputs {self.world.inputs} keeps no frame back of windows of "
                f"{self.training.window} (training.context + training.horizon), and the prior "
                "would learn nothing: lower it, or set it to null"
            )
        if self.data.normalise not in ("symmetric", DataConfig().normalise):
            raise ValueError(
                f"data.normalise {self.data.normalise} is not read where a world model is trained: "
                "its frames are scaled as those of its tokeniser"
            )
        hidden = self.model.blocks
        if self.model.stack != "residual" or len(set(hidden)) > 1:
            raise ValueError("model.stack must be residual in a world model, with one model.hidden")

    def _check_tokeniser(self) -> None:
        """Refuse keys that training a tokeniser does not read."""
        if self.imagines:
            raise ValueError(
                "tokeniser.quantiser and world.tokeniser are for two runs, one after the other: "
                "set one of them"
            )
        if self.model != ForecasterConfig():
            raise ValueError(
                "the section model is not read where a tokeniser is trained "
                f"(tokeniser.quantiser {self.tokeniser.quantiser}): leave it out"
            )
        if self.training.horizon:
            raise ValueError(
                f"training.horizon {self.training.horizon}: a tokeniser forecasts nothing: set it "
                "to 0, and training.context to the frames of a window, such as 1"
            )
        for name in FORECASTS:
            if getattr(self.training, name) != getattr(TrainingConfig(), name):
                raise ValueError(f"training.{name} is not read where a tokeniser is trained")
        if self.data.normalise != "symmetric":
            raise ValueError(
                f"data.normalise {self.data.normalise}: a tokeniser reads values in [-1, 1]: set "
                "it to symmetric"
            )

    def _check_label(self) -> None:
        """Refuse the name of classes that no network tells apart."""
        label, forecasts = self.data.label, not (self.tokenises or self.imagines)
        if label is not None and not (forecasts and self.model.classifier != "none"):
            remedy = (
                "add --model.classifier conv_3d, or leave it out" if forecasts else "leave it out"
            )
            raise ValueError(
                f"data.label {label} would change nothing: it names the classes for networks with "
                f"a model.classifier: {remedy}"
            )

    def _check_classifier(self) -> None:
        """Refuse keys of a loss that the network does not have."""
        training, classifies = self.training, self.model.classifier != "none"
        for name in CLASSES:
            if not classifies and getattr(training, name) != getattr(TrainingConfig(), name):
                raise ValueError(
                    f"training.{name} would change nothing: it is for networks that tell classes "
                    "apart (set model.classifier)"
                )
        if not classifies:
            return
        for name, remedy in FRAMES_ALONE.items():
            if getattr(training, name) != getattr(TrainingConfig(), name):
                raise ValueError(
                    f"training.{name} is not for networks with a model.classifier, {remedy}"
                )

    def _check_distribution(self) -> None:
        """Refuse a network of one forecast with a loss of several, and the other way round."""
        noise, members = self.model.noise_channels, self.training.members
        if (self.model.head != "point") != (self.training.loss == "head"):
            raise ValueError(
                f"model.head {self.model.head} and training.loss {self.training.loss} do not fit: "
                "the loss head is that of a distribution (model.head normal, quantiles or bins), "
                "which no other loss is of"
            )
        if noise and members < 2:
            raise ValueError(
                f"model.noise_channels {noise} make an ensemble: set training.loss crps and "
                "training.members, 2 or more"
            )
        if members > 1 and not noise:
            raise ValueError(
                f"training.members {members} would all be alike: set model.noise_channels, such "
                "as 4, by which they differ"
            )
