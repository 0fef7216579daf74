"""The metrics that are asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from framecast.base.errors import UserError, nearest
from framecast.base.fetch import fetched
from framecast.base.whole import PathLike
from framecast.metrics.catalogue import METRICS, FamilyName, of_families
from framecast.metrics.clips import I3D, FvdClips
from framecast.metrics.protocols import PROTOCOLS, Protocol, ProtocolName
from framecast.metrics.spectrum import SpectrumKind
from framecast.metrics.weights import Weighting

Given = float | int | str


@dataclass(frozen=True)
class MetricChoice:
    """The metrics that an evaluation is asked for, and what they need.

    Attributes:
        names: of metrics, as in METRICS. None for those that the frames suggest: the error;
            where frames are images, metrics of images that can be had, else anomalies and spectra;
            for ensembles, those of ensembles. What only a metric needs asks for it too: weights,
            features, thresholds, neighbourhoods, a dry limit.
        weights: area: cells count by their area; none: all count alike; None for area where the
            grid has latitudes.
        regions: parts of the grid, as NAME=CONDITION,... (see `regions.find_regions`).
        thresholds: of events, by channel: numbers in its units, or percentiles of the training
            frames as p90.
        neighbourhoods: sides of square neighbourhoods in cells, odd, for the FSS.
        dry: by channel, the value below which it is dry, for SEEPS.
        spectrum: periodic, windowed or zonal; None for zonal on a globe, periodic where the
            networks take the frames to be, else windowed.
        protocol: the metrics and weights of a benchmark: openstl, conv_tt_lstm, conv_ssm,
            min_conv_rnn or weatherbench.
        data_range: least and greatest value of an image, in the units of the data; None for
            the range that the data declare.
        lpips_weights: safetensors file with the weights of LPIPS on AlexNet; None for those
            that were fetched, if they were.
        fvd_features: TorchScript file with I3D; None for that which was fetched, if it was.
        fvd_sha256: checksum of a file of features that is trusted though it is not the known one.
        fvd_clips: of FVD: forecast (stretches of 16 forecast frames), or whole (each window, with
            its given frames); None for those of the protocol, or forecast.

    Raises:
        UserError: for a name that is not known, or settings that contradict one another.
    """

    names: tuple[str, ...] | None = None
    weights: Weighting | None = None
    regions: Sequence[str] = ()
    thresholds: Mapping[str, Sequence[Given]] = field(default_factory=dict)
    neighbourhoods: tuple[int, ...] = ()
    dry: Mapping[str, float | int] = field(default_factory=dict)
    spectrum: SpectrumKind | None = None
    protocol: ProtocolName | None = None
    data_range: tuple[float, float] | None = None
    lpips_weights: PathLike | None = None
    fvd_features: PathLike | None = None
    fvd_sha256: str | None = None
    fvd_clips: FvdClips | None = None

    def __post_init__(self) -> None:
        for name in self.names or ():
            if name not in METRICS:
                near = nearest(name, list(METRICS))
                raise UserError(f"unknown metric {name}{near}: there are {', '.join(METRICS)}")
        if self.data_range is not None and not self.data_range[0] < self.data_range[1]:
            low, high = self.data_range
            raise UserError(f"--data-range {low:g} {high:g} must be a smaller and a greater value")
        if self.fvd_sha256 is not None and self.fvd_features is None:
            raise UserError("--fvd-sha256 says which file to trust: name it with --fvd-features")
        _check_one_of("--weights", self.weights, Weighting)
        _check_one_of("--spectrum", self.spectrum, SpectrumKind)
        _check_one_of("--protocol", self.protocol, ProtocolName)
        _check_one_of("--fvd-clips", self.fvd_clips, FvdClips)
        self._check_neighbourhoods()
        self._check_protocol()
        self._check_used()

    def _check_neighbourhoods(self) -> None:
        for size in self.neighbourhoods:
            if size < 1 or size % 2 == 0:
                raise UserError(
                    f"--neighbourhood {size}: a square of cells around a cell has an odd side, "
                    "such as 5"
                )
        if self.neighbourhoods and not self.thresholds:
            raise UserError(
                "--neighbourhood is for events: say when there is one, with --threshold "
                "CHANNEL=VALUE"
            )

    def _check_protocol(self) -> None:
        if self.protocol is None:
            return
        if self.names is not None:
            raise UserError(
                f"--protocol {self.protocol} says which metrics are taken: leave out --metrics, or "
                "the protocol"
            )
        weights = PROTOCOLS[self.protocol].weights
        if self.weights not in (None, weights):
            raise UserError(
                f"--protocol {self.protocol} has --weights {weights}, not {self.weights}: leave "
                "out one of them"
            )

    def _check_used(self) -> None:
        """Refuse settings that none of the metrics that are named would read."""
        readers: dict[str, tuple[object, tuple[FamilyName, ...]]] = {
            "--threshold": (self.thresholds, ("event", "probability", "neighbourhood")),
            "--spectrum": (self.spectrum, ("spectrum",)),
        }
        if self.fvd_clips is not None and "fvd" not in self.asked:
            raise UserError("--fvd-clips is for FVD: ask for it, with --metrics fvd")
        families = {METRICS[name].family for name in self.asked}
        for option, (given, judging) in readers.items():
            if self.names is not None and given and not families & set(judging):
                raise UserError(
                    f"--metrics {' '.join(self.names)} does not read {option}: leave it out, or "
                    f"name a metric that does, such as {of_families(judging[0])[0]}"
                )

    @property
    def preset(self) -> Protocol | None:
        """The protocol, if there is one."""
        return None if self.protocol is None else PROTOCOLS[self.protocol]

    @property
    def whole_videos(self) -> bool:
        """Whether FVD is of whole windows."""
        clips = self.fvd_clips or (self.preset.clips if self.preset else "forecast")
        return clips == "whole" and "fvd" in self.asked

    @property
    def lpips_path(self) -> PathLike | None:
        """Where the weights of LPIPS are."""
        return self.lpips_weights or fetched("lpips")

    @property
    def fvd_path(self) -> PathLike | None:
        """Where the features of FVD are."""
        folder = fetched("i3d")
        return self.fvd_features or (folder / I3D.name if folder else None)

    @property
    def asked(self) -> set[str]:
        """The metrics that are asked for by name, or by what only they need."""
        needs: dict[tuple[str, ...], object] = {
            ("lpips",): self.lpips_weights,
            ("fvd",): self.fvd_features,
            of_families("neighbourhood"): self.neighbourhoods,
            of_families("seeps"): self.dry,
        }
        if self.names is None:
            needs[of_families("event")] = self.thresholds
            needs["sharpness", "effective_resolution"] = self.spectrum
        given = {name for names, value in needs.items() if value for name in names}
        named = self.names or (self.preset.metrics if self.preset else ())
        return {*named, *given}


def _check_one_of(option: str, value: str | None, kind: object) -> None:
    known = get_args(kind)
    if value is not None and value not in known:
        raise UserError(f"{option} {value} is none of {', '.join(known)}")
