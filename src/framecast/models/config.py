"""What a network is made of, apart from what follows from the data."""

from dataclasses import dataclass, field
from typing import Any, Literal

from framecast.layers.blocks import NormKind, Padding
from framecast.layers.entry import layer_entry
from framecast.models.codecs.pyramid import pyramid_options


@dataclass(frozen=True)
class ForecasterConfig:
    """The network, apart from what follows from the data.

    Attributes:
        layer: recurrent layer, by name (`framecast models` lists them).
        options: settings of this layer alone, by name (`framecast models` lists them too).
        depth: number of recurrent layers, at least 1.
        hidden: channels of each layer, at least 1. Stack skip: channels of each block, of
            three or more blocks; one number stands for four equal blocks.
        stack: how layers are joined: residual, x ← norm(x + layer(x)); or skip, blocks of equal
            numbers of layers, x ← norm(layer(x)), where the output of each block from the third
            on is joined by the output of the block two before it.
        kernel: odd side length of the layers' convolutions.
        padding: how fields continue beyond their edges: zeros, circular, cylinder, replicate or
            reflect. A cylinder is periodic in longitude, with zeros beyond the poles.
        norm: norm after each layer: group, channel, grid or none. A group norm is over a frame, a
            channel norm over a pixel's channels, a grid norm over H×W, which ties the weights
            to one grid size.
        norm_position: where norms stand: post, x ← norm(x + layer(x)); or pre,
            x ← x + layer(norm(x)), in stack residual only.
        dropout: probability in [0, 1) with which a number that a layer puts out is set to zero
            in training.
        encoder: what stands before the layers: pointwise, a 1×1 convolution from the frames'
            channels to the first layer's; pyramid, residual blocks on ever coarser grids (and a
            decoder that mirrors them); or none, the first layer reads the frames (stack skip
            only, since a residual connection needs as many channels as the layer has).
        encoder_options: settings of the pyramid: widths, channels at each depth, each of which
            but the first halves the grid; groups of its norms.
        encoder_activation: function that follows the encoder: none, or tanh.
        patch: side of the square patches of the encoder's grid that become one cell, at least
            1. A patch as large as that grid makes one token of a frame.
        output: what follows the last convolution: linear, nothing; sigmoid, values in (0, 1);
            tanh, values in (-1, 1).
        predicts: frame, the network's output is the next frame; or change, it is added to the
            last frame (of prognostic channels; diagnostic ones are put out as they are).
    """

    layer: str = "min_conv_gru"
    options: dict[str, Any] = field(default_factory=dict)
    depth: int = 4
    hidden: int | list[int] = 48
    stack: Literal["residual", "skip"] = "residual"
    kernel: int = 3
    padding: Padding = "zeros"
    norm: NormKind = "group"
    norm_position: Literal["post", "pre"] = "post"
    dropout: float = 0.0
    encoder: Literal["pointwise", "pyramid", "none"] = "pointwise"
    encoder_options: dict[str, Any] = field(default_factory=dict)
    encoder_activation: Literal["none", "tanh"] = "none"
    patch: int = 1
    output: Literal["linear", "sigmoid", "tanh"] = "linear"
    predicts: Literal["frame", "change"] = "frame"

    def __post_init__(self) -> None:
        try:
            layer_entry(self.layer).check_options(self.options)
        except ValueError as error:
            raise ValueError(f"model.options of {self.layer}: {error}") from error
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"kernel {self.kernel} must be odd and positive")
        if self.depth < 1:
            raise ValueError(f"depth {self.depth} must be at least 1")
        if min(self.blocks) < 1:
            raise ValueError(f"hidden {self.hidden} must be at least 1")
        (_check_residual if self.stack == "residual" else _check_skip)(self)
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

    @property
    def reduction(self) -> int:
        """How many rows, and columns, of a frame become one that the layers see."""
        if self.encoder != "pyramid":
            return self.patch
        widths = pyramid_options(self.encoder_options)["widths"]
        return int(self.patch * 2 ** (len(widths) - 1))

    @property
    def blocks(self) -> list[int]:
        """Channels of each block of layers; a residual stack is one block."""
        if not isinstance(self.hidden, int):
            return self.hidden
        return [self.hidden] * (1 if self.stack == "residual" else 4)


def _check_residual(config: ForecasterConfig) -> None:
    if not isinstance(config.hidden, int):
        raise ValueError(
            f"hidden {config.hidden}: in stack residual all layers have the same channels, one "
            "number; a list, a number for each block, needs stack skip"
        )
    if config.encoder == "none":
        raise ValueError(
            "encoder none needs stack skip: a residual connection adds what a layer reads to "
            "what it puts out, so the frames must first have as many channels as the layer"
        )


def _check_skip(config: ForecasterConfig) -> None:
    if config.norm_position == "pre":
        raise ValueError(
            "norm_position pre needs stack residual: in stack skip norms follow layers"
        )
    blocks = len(config.blocks)
    if blocks < 3:
        raise ValueError(
            f"hidden {config.hidden}: stack skip joins blocks that lie two apart, and needs at "
            "least three"
        )
    if config.depth % blocks:
        raise ValueError(
            f"depth {config.depth} does not make {blocks} blocks of equal numbers of layers"
        )


def _check_encoder(config: ForecasterConfig) -> None:
    if config.patch < 1:
        raise ValueError(f"patch {config.patch} must be at least 1")
    if config.encoder == "none" and config.encoder_activation != "none":
        raise ValueError("encoder_activation follows an encoder, but encoder is none")
    if config.encoder == "none" and config.patch > 1:
        raise ValueError("patches are made by an encoder, but encoder is none")
    if config.encoder != "pyramid":
        if config.encoder_options:
            raise ValueError(f"encoder_options are those of encoder pyramid, not {config.encoder}")
        return
    try:
        widths = pyramid_options(config.encoder_options)["widths"]
    except ValueError as error:
        raise ValueError(f"model.encoder_options: {error}") from error
    if config.patch == 1 and list(widths[-1:]) != config.blocks[:1]:
        raise ValueError(
            f"the pyramid's last width must be the first layer's channels, but widths are "
            f"{list(widths)} and hidden is {config.hidden}"
        )
