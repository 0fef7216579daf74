"""What a network is made of, apart from what follows from the data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from framecast.layers.blocks import RENAMED_NORMS, NormKind, Padding, check_norm
from framecast.layers.entry import check_keywords, layer_entry, renamed_options
from framecast.layers.stacks import STACKS, check_last, check_stride
from framecast.models.classifier import make_options
from framecast.models.codecs.pyramid import make_pyramid
from framecast.models.codecs.strided import make_strided
from framecast.models.heads import HeadKind, make_head

DEEPEST = 1000
"""Layers of a network, at most: far beyond any that is trained, and soon refused."""


@dataclass(frozen=True)
class ForecasterConfig:
    """The network, apart from what follows from the data.

    Attributes:
        layer: recurrent layer, by name (`framecast models` lists them).
        options: settings of this layer alone, by name (`framecast models` lists them too).
        depth: number of recurrent layers, at least 1; or a list, the number in each block, where
            the stack has blocks. One number stands for blocks of equal numbers.
        hidden: channels of each layer, at least 1; or a list, the channels in each block (stacks
            skip and plain).
        stack: how layers are joined: residual, x ← norm(x + layer(x)); plain, x ← norm(layer(x));
            or skip, plain and in blocks, where the output of each block from the third on is
            joined by the output of the block two before it. If neither depth nor hidden is a
            list, a stack with skips has four blocks.
        stack_options: settings of the stack alone, by name. With skip_stride (stacks skip and
            residual), a skip leads back by so many blocks, at least 1. Stack skip: 2 if not
            given. Stack residual: no skips if not given; with it, the outputs of a block and of
            an earlier one are concatenated and mixed by a 1×1 convolution. Stack residual also
            has last_residual: whether the last layer has a residual connection and a norm too.
        kernel: odd side length of the layers' convolutions.
        padding: how fields continue beyond their edges: zeros, circular, cylinder, sphere,
            sphere_poles, replicate or reflect. A cylinder is periodic in longitude, with zeros
            beyond the poles. A sphere goes on beyond a pole at longitude + 180°; sphere_poles is
            for grids whose first and last rows are the poles.
        norm: norm after each layer: frame, channel, grid or none. A frame norm is over a whole
            frame, a channel norm over a pixel's channels, a grid norm over H×W, which ties the
            weights to one grid size.
        norm_position: where norms stand: post, x ← norm(x + layer(x)); or pre,
            x ← x + layer(norm(x)). Without the residual connection in stacks skip and plain.
        dropout: probability in [0, 1) with which a number that a layer puts out is set to zero
            in training.
        encoder: what stands before the layers: pointwise, a 1×1 convolution from the frames'
            channels to the first layer's; pyramid, residual blocks on ever coarser grids (and a
            decoder that mirrors them); strided, 3×3 convolutions that halve the grid (and
            transposed ones that double it); or none, the first layer reads the frames (stacks skip
            and plain only, since a residual connection needs as many channels as the layer has).
        encoder_options: settings of the encoder. Strided: widths, channels of each convolution, of
            which each halves the grid. Pyramid: widths, channels at each depth, each of which
            but the first halves the grid; groups of its norms; blocks and decoder_blocks, the
            number of residual blocks at each depth, one number or a list; out_width, channels
            after a 1×1 convolution at its end. Where the layers have other channels, another 1×1
            convolution leads to them.
        encoder_activation: function that follows the encoder: none, or tanh.
        patch: side of the square patches of the encoder's grid that become one cell, at least
            1. A patch as large as that grid makes one token of a frame.
        output: what follows the last convolution: linear, nothing; sigmoid, values in (0, 1);
            tanh, values in (-1, 1).
        predicts: frame, the network's output is the next frame; or change, it is added to the
            last frame (of prognostic channels; diagnostic ones are put out as they are).
        head: what is predicted of each value: point, the value; or its distribution: normal,
            mean and deviation; quantiles; or bins, probabilities of intervals. The loss is then
            that of the head (training.loss head), members of an ensemble are drawn from it, and
            the mean (normal, bins) or the median (quantiles) is the forecast without members.
        head_options: settings of the head. Of quantiles: count, an odd number (15). Of bins:
            count (32), low (-4) and high (4), the ends of all bins, in training deviations from
            the mean (or in units of another data.normalise).
        noise_channels: channels of standard normal noise that each step reads, at least 0. The
            encoder reads them beside the frames, and the scale and shift of every norm follow
            from them. Forecasts with other noise are members of an ensemble
            (training.members, training.loss crps).
        classifier: what is said of a whole sequence beside its next frames: none; or conv_3d, its
            class, by 3-D convolutions of what the last layer makes of the given frames. The data
            must be labelled; training.prediction_weight weighs frames against classes.
        classifier_options: settings of the classifier: frames (16), whose features it reads, the
            last given ones; channels (128) of its convolutions; and hidden (512), units of its
            perceptron.
    """

    RENAMED_VALUES = MappingProxyType({"norm": RENAMED_NORMS})
    """Names that values had before."""

    layer: str = "min_conv_gru"
    options: dict[str, Any] = field(default_factory=dict)
    depth: int | list[int] = 4
    hidden: int | list[int] = 48
    stack: Literal["residual", "skip", "plain"] = "residual"
    stack_options: dict[str, Any] = field(default_factory=dict)
    kernel: int = 3
    padding: Padding = "zeros"
    norm: NormKind = "frame"
    norm_position: Literal["post", "pre"] = "post"
    dropout: float = 0.0
    encoder: Literal["pointwise", "pyramid", "strided", "none"] = "pointwise"
    encoder_options: dict[str, Any] = field(default_factory=dict)
    encoder_activation: Literal["none", "tanh"] = "none"
    patch: int = 1
    output: Literal["linear", "sigmoid", "tanh"] = "linear"
    predicts: Literal["frame", "change"] = "frame"
    head: HeadKind = "point"
    head_options: dict[str, Any] = field(default_factory=dict)
    noise_channels: int = 0
    classifier: Literal["none", "conv_3d"] = "none"
    classifier_options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, np.generic):  # as sizes are that were computed
                object.__setattr__(self, name, value.item())
        entry = layer_entry(self.layer)
        try:
            entry.check_options(self.options)
        except ValueError as error:
            raise ValueError(f"model.options of {self.layer}: {error}") from error
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"kernel {self.kernel} must be odd and positive")
        _check_stack(self)
        check_norm(self.norm)
        if self.norm_position == "pre" and self.norm == "none":
            raise ValueError("norm_position pre needs a norm, but norm is none")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout {self.dropout} must be at least 0 and below 1")
        if self.predicts == "change" and self.output != "linear":
            raise ValueError(
                f"predicts change needs output linear: with output {self.output} a change would "
                "be bounded, and the frame would not"
            )
        _check_encoder(self)
        _check_head(self)
        _check_classifier(self)

    @property
    def reduction(self) -> int:
        """How many rows, and columns, of a frame become one that the layers see."""
        halved = 0
        if self.encoder == "pyramid":
            halved = len(make_pyramid(self.encoder_options).widths) - 1
        elif self.encoder == "strided":
            halved = len(make_strided(self.encoder_options).widths)
        return int(self.patch * 2**halved)

    @property
    def skip_stride(self) -> int | None:
        """By how many blocks a skip leads back; None in a stack without skips."""
        default = 2 if self.stack == "skip" else None
        stride: int | None = check_keywords(STACKS[self.stack], self.stack_options).get(
            "skip_stride", default
        )
        return stride

    @property
    def blocks(self) -> list[int]:
        """Channels of each block of layers."""
        if not isinstance(self.hidden, int):
            return self.hidden
        return [self.hidden] * self._number_of_blocks

    @property
    def block_depths(self) -> list[int]:
        """Number of layers in each block."""
        if not isinstance(self.depth, int):
            return self.depth
        return [self.depth // self._number_of_blocks] * self._number_of_blocks

    @property
    def _number_of_blocks(self) -> int:
        """As lists say; else four where blocks are joined, and one where they are not."""
        for given in (self.depth, self.hidden):
            if not isinstance(given, int):
                return len(given)
        return 1 if self.skip_stride is None else 4


def renamed_model(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model section of an older configuration with the names of today.

    Args:
        config: keys of a `ForecasterConfig` and their values, perhaps by older names of layers,
            of their options and of norms. What it leaves out stays left out.
    """
    new = dict(config)
    if "layer" in config:
        new["layer"], options = renamed_options(config["layer"], config.get("options", {}))
        if options or "options" in config:
            new["options"] = options
    if "norm" in config:
        new["norm"] = RENAMED_NORMS.get(config["norm"], config["norm"])
    return new


def _check_stack(config: ForecasterConfig) -> None:
    try:
        given = check_keywords(STACKS[config.stack], config.stack_options)
    except ValueError as error:
        raise ValueError(f"model.stack_options of {config.stack}: {error}") from error
    for name, sizes in (("depth", config.depth), ("hidden", config.hidden)):
        if min([sizes] if isinstance(sizes, int) else sizes, default=0) < 1:
            raise ValueError(f"{name} {sizes} must be at least 1")
    if (depth := sum([config.depth] if isinstance(config.depth, int) else config.depth)) > DEEPEST:
        raise ValueError(f"depth {depth}: a network has at most {DEEPEST} layers")
    if config.stack == "residual":
        _check_residual(config)
        if not given.get("last_residual", True):
            check_last(config.norm_position)
    _check_blocks(config)
    if config.skip_stride is not None:
        check_stride(config.skip_stride, len(config.blocks))


def _check_residual(config: ForecasterConfig) -> None:
    if not isinstance(config.hidden, int):
        raise ValueError(
            f"hidden {config.hidden}: in stack residual all layers have the same channels, one "
            "number; a list, a number for each block, needs stack skip or plain"
        )
    if config.encoder == "none":
        raise ValueError(
            "encoder none needs stack skip or plain: a residual connection adds what a layer reads "
            "to what it puts out, so the frames must first have as many channels as the layer"
        )


def _check_blocks(config: ForecasterConfig) -> None:
    depth, hidden = config.depth, config.hidden
    blocks = len(config.blocks)
    if isinstance(depth, int):
        if depth % blocks:
            raise ValueError(
                f"depth {depth} does not make {blocks} blocks of equal numbers of layers: give a "
                "list, the number in each block"
            )
    elif not isinstance(hidden, int):
        if len(depth) != len(hidden):
            raise ValueError(f"depth {depth} and hidden {hidden} have another number of blocks")
    elif config.skip_stride is None:
        raise ValueError(
            f"depth {depth}: blocks of equal channels without skips are one block, so give one "
            "number; or, in stack residual, stack_options.skip_stride"
        )


def _check_head(config: ForecasterConfig) -> None:
    if config.noise_channels < 0:
        raise ValueError(f"noise_channels {config.noise_channels} must not be negative")
    try:
        head = make_head(config.head, config.head_options)
    except ValueError as error:
        raise ValueError(f"model.head_options of {config.head}: {error}") from error
    if head is None:
        return
    if config.noise_channels:
        raise ValueError(
            f"head {config.head} and noise_channels {config.noise_channels} both make members: "
            "choose one of them"
        )
    if config.output != "linear":
        raise ValueError(f"head {config.head} needs output linear, not {config.output}")
    if head.bounded and config.predicts == "change":
        raise ValueError(f"head {config.head} is of frames: it needs predicts frame")


def _check_classifier(config: ForecasterConfig) -> None:
    if config.classifier == "none":
        if config.classifier_options:
            raise ValueError("classifier_options are those of a classifier, but classifier is none")
        return
    try:
        make_options(config.classifier_options)
    except ValueError as error:
        raise ValueError(f"model.classifier_options: {error}") from error
    if config.head != "point" or config.noise_channels:
        what = f"head {config.head}" if config.head != "point" else "noise_channels"
        raise ValueError(f"{what} makes members, which a classifier does not read: choose one")


def _check_encoder(config: ForecasterConfig) -> None:
    if config.patch < 1:
        raise ValueError(f"patch {config.patch} must be at least 1")
    if config.encoder == "none" and config.encoder_activation != "none":
        raise ValueError("encoder_activation follows an encoder, but encoder is none")
    if config.encoder == "none" and config.patch > 1:
        raise ValueError("patches are made by an encoder, but encoder is none")
    make = {"pyramid": make_pyramid, "strided": make_strided}.get(config.encoder)
    if make is None:
        if config.encoder_options:
            raise ValueError(
                f"encoder_options are those of encoders pyramid and strided, not {config.encoder}"
            )
        return
    try:
        make(config.encoder_options)
    except ValueError as error:
        raise ValueError(f"model.encoder_options: {error}") from error
