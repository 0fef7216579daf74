"""The commands by name: what stands here is all that `framecast --help` needs to be imported."""

from typing import NamedTuple


class Command(NamedTuple):
    """A command.

    Attributes:
        group: the heading under which it is listed.
        summary: what it does.
        module: the file of this folder that holds it.
        shared: whether several processes can share its work (torchrun).
    """

    group: str
    summary: str
    module: str
    shared: bool = False


COMMANDS = {
    "simulate": Command("data", "make a data set by simulation", "simulate"),
    "fetch": Command(
        "data", "download a data set or weights and check them, or list what there is", "fetch"
    ),
    "inspect": Command("data", "say what data hold, and propose how to learn from them", "inspect"),
    "recipes": Command("training", "list the recipes, or print one", "recipes"),
    "models": Command("training", "list the recurrent layers, their papers and options", "models"),
    "train": Command(
        "training", "train a forecaster from data, a recipe or a YAML file", "train", shared=True
    ),
    "profile": Command(
        "training", "show where the time and memory of a training step go", "profiling"
    ),
    "sweep": Command("training", "train runs with other values of some keys", "sweep"),
    "import": Command(
        "training", "make a run from a published ConvLSTM or Conv-TT-LSTM network", "importing"
    ),
    "evaluate": Command(
        "results",
        "measure the error of runs by lead time, beside baselines",
        "evaluate",
        shared=True,
    ),
    "view": Command(
        "results", "write a page that shows a forecast, or what a run forecasts", "view"
    ),
    "score": Command("results", "score forecasts in files, anybody's, beside the truth", "score"),
    "forecast": Command(
        "results", "forecast from past frames into a file", "forecast", shared=True
    ),
    "export": Command(
        "results", "write a run as ONNX or .pt2, which run without framecast", "exporting"
    ),
    "serve": Command(
        "results", "forecast for other programs on this computer, over HTTP", "serving"
    ),
    "reproduce": Command("results", "make a reported result again, and compare", "reproducing"),
    "weights": Command("results", "list trained networks, take one, or share a run", "taking"),
    "play": Command("results", "walk through what a world model imagines, on a page", "play"),
    "recognise": Command(
        "results", "name what goes on in a video, as more and more of it is seen", "recognise"
    ),
    "reconstruct": Command(
        "results", "show and measure what a tokeniser keeps of frames", "reconstruct"
    ),
    "doctor": Command(
        "this computer", "show the versions, devices, kernels and threads in use", "doctor"
    ),
}
