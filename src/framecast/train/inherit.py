"""Weights of another run for a new one: the same network, perhaps with other channels."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from framecast.base.errors import UserError
from framecast.frames.roles import FrameSpec
from framecast.models.codebook import Codebook
from framecast.models.heads import make_head
from framecast.models.model import Model
from framecast.models.tokeniser import Tokeniser
from framecast.models.world import World
from framecast.runs.checkpoint import load_checkpoint, load_saved

JUDGE = "discriminator."
"""Before the weights of what tells frames of a tokeniser from true ones."""


def inherit(model: Model, spec: FrameSpec, name: str) -> None:
    """Give a model the weights of another run.

    Channels are matched by their names, in whatever order they stand. The weights of what is new,
    at the entry of the encoder or the exit of the decoder, start at zero. So do those by which
    noise conditions norms: a network without noise may become one that makes ensembles. Classes are
    matched by their names too; the weights of a classifier that the other run lacks are kept, so
    that a network may learn to foresee frames first.

    Args:
        model: new, whose weights are replaced.
        spec: of the frames that it reads and predicts.
        name: of the other run, or a checkpoint.

    Raises:
        UserError: if its network differs in more than channels; the first weight is named.
    """
    other = load_checkpoint(name)
    theirs, ours = other.model.state_dict(), model.state_dict()
    classes = other.frames.classes, spec.classes
    if not any(map(_classifies, theirs)):
        classes = spec.classes, spec.classes
    theirs = {k: w for k, w in ours.items() if _modulates(k)} | _classifier(ours, theirs) | theirs
    _check_keys(ours, theirs, name)
    both = (other.frames, other.model), (spec, model)
    read = [[*read_names(frames), *_noise_names(network)] for frames, network in both]
    predicted = [_put_out(predicted_names(frames), network) for frames, network in both]
    ends = dict.fromkeys(_exit(ours), predicted) | dict.fromkeys(_entry(ours), read)
    named = [list(names) for names in classes]
    ends |= dict.fromkeys(_scores(ours), named)
    model.load_state_dict(
        {
            key: _matched(theirs[key], ours[key], key, *ends[key])
            if key in ends and ends[key][0] != ends[key][1]
            else _same(theirs[key], ours[key], key, name)
            for key in ours
        }
    )


def inherit_all(model: Model, spec: FrameSpec, name: str) -> None:
    """Give a model of which no weight belongs to one channel all weights of another run.

    A tokeniser may also start from the one that a world model holds. What judges its frames in
    training begins anew where the other run has none.

    Args:
        model: a new tokeniser or world model, whose weights are replaced.
        spec: of its frames and actions, of which a tokeniser reads none.
        name: of the other run, or a checkpoint.

    Raises:
        UserError: if it is of another kind or size, or knows other channels or actions, which the
            message tells; or if it is a world model of the codes of another tokeniser.
    """
    other = load_saved(name)
    tokenises = isinstance(model, Tokeniser)
    source = other.model.tokeniser if tokenises and isinstance(other.model, World) else other.model
    if source.kind != model.kind:
        raise UserError(f"training.init {name} is a {source.kind}, and no {model.kind}")
    for what in ("names",) if tokenises else ("names", "action_names"):
        before, now = getattr(other.frames, what), getattr(spec, what)
        if before != now:
            told = [", ".join(map(str, of)) or "none" for of in (before, now)]
            what = "channels" if what == "names" else "actions"
            raise UserError(f"training.init {name} knows the {what} {told[0]}, here are {told[1]}")
    theirs, ours = source.state_dict(), model.state_dict()
    judges = [{k for k in weights if k.startswith(JUDGE)} for weights in (theirs, ours)]
    if not all(judges):
        theirs = {k: w for k, w in theirs.items() if k not in judges[0]}
        theirs |= {k: ours[k] for k in judges[1]}
    _check_keys(ours, theirs, name)
    model.load_state_dict({key: _same(theirs[key], ours[key], key, name) for key in ours})
    if isinstance(model, Tokeniser) and isinstance(model.quantiser, Codebook):
        model.quantiser.settle()


def read_names(spec: FrameSpec) -> list[str]:
    """Return names of what a network reads, in the order in which its encoder does."""
    prognostic = [channel.name for channel in spec.of_role("prognostic")]
    masks = [f"mask of {name}" for name in prognostic if name in spec.flagged]
    return [*prognostic, *masks, *spec.conditions]


def predicted_names(spec: FrameSpec) -> list[str]:
    """Return names of what a network predicts, in the order in which its decoder does."""
    return [channel.name for channel in spec.predicted]


def _noise_names(model: Model) -> list[str]:
    """Names of the channels of noise, which the encoder reads after all others."""
    return [f"noise {place}" for place in range(model.spec.config.noise_channels)]


def _put_out(names: list[str], model: Model) -> list[str]:
    """Names of what the decoder puts out: a head has several numbers for each variable."""
    config = model.spec.config
    head = make_head(config.head, config.head_options)
    if head is None:
        return names
    return [f"{name}, {config.head} {place}" for name in names for place in range(head.size)]


def _modulates(key: str) -> bool:
    """Whether a weight makes scale and shift of noise, which start at zero."""
    return key.endswith(".modulation.weight")


def _classifies(key: str) -> bool:
    """Whether a weight is one of a classifier."""
    return key.startswith("classifier.")


def _scores(weights: Mapping[str, Tensor]) -> list[str]:
    """The weight and the bias that put the scores of the classes out."""
    return [key for key in weights if _classifies(key)][-2:]


def _classifier(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of our classifier, where they have none."""
    if any(map(_classifies, theirs)):
        return {}
    return {key: weight for key, weight in ours.items() if _classifies(key)}


def _entry(weights: Mapping[str, Tensor]) -> list[str]:
    """The weight that reads the channels."""
    return [k for k, w in weights.items() if k.startswith("encoder.") and w.ndim > 1][:1]


def _exit(weights: Mapping[str, Tensor]) -> list[str]:
    """The weight and the bias that put the channels out."""
    return [key for key in weights if key.startswith("decoder.")][-2:]


def _matched(
    theirs: Tensor, ours: Tensor, key: str, before: Sequence[str], now: Sequence[str]
) -> Tensor:
    """Their weight in our shape: each channel where its name is here, zero where it is new."""
    sizes = (len(before), len(now))
    dims = [1] if key.startswith("encoder.") else range(theirs.ndim)
    dim = next(d for d in dims if (theirs.shape[d], ours.shape[d]) == sizes)
    matched = torch.zeros_like(ours)
    for place, channel in enumerate(now):
        if channel in before:
            matched.select(dim, place).copy_(theirs.select(dim, before.index(channel)))
    return matched


def _check_keys(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], name: str) -> None:
    for key in (*ours, *theirs):
        if key not in theirs or key not in ours:
            raise UserError(
                f"training.init {name} is of another network: {key} is "
                f"{'missing there' if key not in theirs else 'unknown here'}"
            )


def _same(theirs: Tensor, ours: Tensor, key: str, name: str) -> Tensor:
    if theirs.shape != ours.shape:
        raise UserError(
            f"training.init {name} is of another network: its {key} is {list(theirs.shape)}, here "
            f"it is {list(ours.shape)}"
        )
    return theirs
