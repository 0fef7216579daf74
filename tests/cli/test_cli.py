"""The command line as a newcomer meets it."""

import argparse
import re
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version

import numpy as np
import pytest
import xarray as xr

from conftest import DATA
from framecast.base.keys import describe_keys, keys_of
from framecast.cli import COMMANDS, main
from framecast.cli.train import COMMON
from framecast.runs.experiment import Experiment
from small import travelling_wave

AIR = str(DATA / "air_temperature_small.nc")
LONG = "long-moving-mnist-conv-s5-small"
QUICK = [
    *("--model.depth", "1", "--model.hidden", "4", "--training.epochs", "1"),
    *("--training.context", "3", "--training.horizon", "2"),
]


def run(*arguments):
    return main([str(a) for a in arguments])


@pytest.fixture
def air_run(tmp_path):
    folder = tmp_path / "run"
    shares = ("--data.validation_fraction", "0.3", "--data.test_fraction", "0.3")
    assert run("train", "starter", "--data.path", AIR, "--out", folder, *shares, *QUICK) == 0
    return folder


def test_a_real_file_from_training_to_evaluation(tmp_path, air_run, capsys):
    assert run("forecast", air_run, AIR, "--steps", 9, "--out", tmp_path / "f.nc") == 0
    with xr.open_dataset(tmp_path / "f.nc", engine="h5netcdf") as forecast:
        assert str(forecast.time.values[0])[:13] == "2014-03-01T00"
        assert forecast.air.attrs["units"] == "degK"
    assert run("evaluate", air_run, "--out", tmp_path / "report") == 0
    printed = capsys.readouterr().out
    assert "9 frames of air" in printed
    assert "persistence" in printed
    assert {f.suffix for f in (tmp_path / "report").iterdir()} == {".json", ".csv", ".png", ".html"}


def test_slow_data_are_cached_from_inspection_to_evaluation(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FRAMECAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    assert run("inspect", AIR, "--cache") == 0
    assert "--data.cache true" in capsys.readouterr().out
    (entry,) = (tmp_path / "cache" / "frames").glob("air_temperature_small-*")
    shares = ("--data.validation_fraction", "0.3", "--data.test_fraction", "0.3")
    given = ("starter", "--data.path", AIR, *shares, *QUICK)
    assert run("train", *given, "--cache", "--out", "cached") == 0
    assert run("train", *given, "--out", "plain") == 0
    weights = [(tmp_path / name / "last.safetensors").read_bytes() for name in ("cached", "plain")]
    assert weights[0] == weights[1]
    for name in ("cached", "plain"):
        assert run("evaluate", name, "--out", f"{name}_report") == 0
        assert run("forecast", name, AIR, "--steps", 3, "--out", f"{name}.npz") == 0
    reports = [(tmp_path / f"{n}_report" / "metrics.csv") for n in ("cached", "plain")]
    assert reports[0].read_text() == reports[1].read_text().replace("plain", "cached")
    forecasts = [np.load(tmp_path / f"{n}.npz")["frames"] for n in ("cached", "plain")]
    np.testing.assert_array_equal(*forecasts)
    assert list(entry.parent.iterdir()) == [entry]


def test_arrays_from_training_to_forecast(tmp_path, capsys):
    np.save(tmp_path / "waves.npy", travelling_wave())
    path = ("--data.path", tmp_path / "waves.npy")
    folder = tmp_path / "my run"
    assert run("train", "starter", *path, "--out", folder, *QUICK) == 0
    assert f"Next: framecast evaluate '{folder}' --out EVALUATION\n" in capsys.readouterr().out
    out = tmp_path / "f.npz"
    assert run("forecast", folder, tmp_path / "waves.npy", "--steps", 4, "--out", out) == 0
    assert np.load(tmp_path / "f.npz")["frames"].shape == (4, 6, 1, 1, 8, 8)


def test_simulated_data_can_be_trained_on(tmp_path):
    data = tmp_path / "data"
    size = ("--grid", 16, "--coarsen", 2, "--frames", 8, "--step", 0.05)
    counts = ("--train", 3, "--validation", 1, "--test", 1)
    assert run("simulate", "navier_stokes", "--out", data, *size, *counts) == 0
    assert run("train", "starter", "--data.path", data, "--out", tmp_path / "run", *QUICK) == 0
    assert run("evaluate", tmp_path / "run", "--out", tmp_path / "report") == 0


def test_a_simulated_planet_can_be_trained_on_and_scored_by_area(tmp_path):
    data = tmp_path / "data"
    size = ("--truncation", 21, "--step", 1800, "--frames", 8, "--spin_up", 0)
    counts = ("--train", 3, "--validation", 1, "--test", 1)
    assert run("simulate", "shallow_water", "--out", data, *size, *counts) == 0
    options = ("--data.path", data, "--training.area_weights", "true", *QUICK)
    assert run("train", "starter", "--out", tmp_path / "run", *options) == 0
    report = tmp_path / "report"
    assert run("evaluate", tmp_path / "run", "--out", report) == 0
    averages = (report / "averages.csv").read_text()
    assert "m2 s-2" in (report / "metrics.json").read_text()
    assert "persistence" in averages


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as end:
        run("--help")
    assert end.value.code == 0
    printed = capsys.readouterr().out
    assert all(command in printed for command in COMMANDS)
    assert "framecast train my_frames.nc" in printed


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as end:
        run(command, "--help")
    assert end.value.code == 0
    printed = capsys.readouterr().out
    assert f"framecast {command}" in printed
    assert printed.count("\n") <= 100


def parsers(command):
    """All parsers of a command: those of its data sets, and with all keys in its help."""
    module = import_module(f"framecast.cli.{COMMANDS[command].module}")
    found = [module.parser()]
    if command in ("train", "import"):
        found.append(module.parser(everything=True))
    for action in found[0]._actions:
        if isinstance(action, argparse._SubParsersAction):
            found += action.choices.values()
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_in_words(command):
    for parser in parsers(command):
        shown = [a for a in parser._actions if a.option_strings and a.help != argparse.SUPPRESS]
        for action in shown:
            assert len(re.sub(r"\(default.*", "", action.help).split()) >= 3, action
        printed = parser.format_help()
        assert not re.search(r"<class|type:|Literal|Optional|None\b", printed)
        assert "--help" in printed


def test_help_of_train_explains_every_key_once(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        run("train", "--help-all")
    printed = capsys.readouterr().out
    joined = "".join(printed.split())
    for key in describe_keys(Experiment):
        assert len(re.findall(rf"^  --{re.escape(key.name)} ", printed, re.MULTILINE)) == 1
        assert len(key.about.split()) >= 3
        assert "".join(key.about.removesuffix(".").split()) in joined


def test_short_help_of_train_explains_the_common_keys_alone(capsys):
    with pytest.raises(SystemExit):
        run("train", "--help")
    printed = capsys.readouterr().out
    shown = re.findall(r"^  --(\w+\.\S+) ", printed, re.MULTILINE)
    assert sorted(shown) == sorted(COMMON)
    assert set(COMMON) < set(keys_of(Experiment))
    assert "(default: 0.0005)" in printed


def test_options_of_a_layer_and_of_a_source_are_taken_by_name(capsys, tmp_path):
    """Their values are no recipes, wherever they stand."""
    options = (
        "--model.layer=conv_lstm",
        "--model.options.initialisation",
        "uniform",
        "--data.options.x=1",
    )
    assert run("train", *options, "starter", "--out", tmp_path / "run") == 2
    assert "no option 'x'" in capsys.readouterr().err


def test_help_needs_nothing_heavy():
    check = (
        "import sys; from framecast.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'numpy', 'yaml', 'jsonargparse'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True, capture_output=True)


def test_models_recipes_and_doctor(capsys):
    assert run("models") == 0
    assert "min_conv_exp_lstm" in capsys.readouterr().out
    assert run("recipes") == 0
    assert "navier-stokes-conv-lstm" in capsys.readouterr().out
    assert run("recipes", "starter") == 0
    assert "layer: min_conv_gru" in capsys.readouterr().out
    assert run("doctor") == 0
    assert "kernels on cpu" in capsys.readouterr().out


def write_text(path):
    path.write_text("no grid")


def cut_short(path):
    path.write_bytes((DATA / "air_temperature_small.nc").read_bytes()[:20000])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "startr"], "did you mean starter"),
        (["train", "starter", "--training.epocs", "3"], "did you mean --training.epochs"),
        (["train", "starter", "--model.layer", "conv_lsm"], "did you mean conv_lstm"),
        (["train", "starter", "--training.epochs", "0"], "must be at least 1"),
        (["train", "starter", "--training.clip", "1"], "is called --training.gradient_clip now"),
        (["train", "starter", "--model.norm", "group"], "model.norm group is called frame now"),
        (
            ["train", "starter", "--training.schedule", "decay"],
            "training.schedule decay is called staircase now",
        ),
        (["train", LONG, "--model.options.group", "2"], "conv_s5: no option 'group' (did you mean"),
        (["train", LONG, "--data.options.frame", "2"], "no option 'frame' (did you mean frames"),
        (
            ["train", "starter", "--training.precision", "16"],
            "expected one of auto, 32, bf16-mixed",
        ),
        (["train", "starter", "--training.compile", "yess"], "training.compile: expected true or"),
        (["train", "starter", "--resum"], "did you mean --resume"),
        (["train", "starter", "--training.epochs"], "--training.epochs: expected one argument"),
        (["forecast", "run", "in.nc", "--steps", "x"], "--steps: expected a whole number, not x"),
        (["evaluate", "run", "--metric", "mse"], "did you mean --metrics"),
        (["simulate", "navier_stoks"], "navier_stoks"),
        (["train", "starter", "--data.path", "{tmp}/none.nc"], "none.nc does not exist"),
        (["train", "starter", "--data.path", "{tmp}/foreign.nc"], "neither NetCDF 3 nor NetCDF 4"),
        (["train", "starter", "--data.path", "{tmp}/cut.nc"], "cut.nc cannot be read"),
        (["train", "starter", "--data.path", AIR], "too short for a window of 15"),
        (["train", "starter", "--data.path", AIR, "--data.variables", "[u]"], "it has air"),
        (
            ["train", "starter", "--data.path", AIR, "--data.label", "kind"],
            "data.label kind would change nothing: it names the classes for networks with a "
            "model.classifier: add --model.classifier conv_3d, or leave it out",
        ),
        (["train"], "name a recipe"),
        (["train", "--resume"], "is not a run folder"),
        (["simulate", "navier_stokes", "--grid", "30"], "coarsen=4"),
        (["simulate", "shallow_water", "--orography", "9000"], "orography=9000"),
        (["simulate", "shallow_water", "--step", "1000"], "step=1000.0: must be a whole part"),
        (["simulate", "navier_stokes", "--grd", "32"], "did you mean --grid"),
    ],
)
def test_mistakes_are_one_message_and_exit_code_2(tmp_path, capsys, arguments, said):
    write_text(tmp_path / "foreign.nc")
    cut_short(tmp_path / "cut.nc")
    before = sorted(tmp_path.iterdir())
    arguments = [a.replace("{tmp}", str(tmp_path)) for a in arguments]
    assert run(*arguments, "--out", tmp_path / "out") == 2
    message = capsys.readouterr().err
    assert said in message
    assert message.startswith(f"framecast {arguments[0]}: ")
    assert message.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_mistakes_after_training(tmp_path, air_run, capsys):
    with xr.open_dataset(AIR, engine="h5netcdf") as air:
        air.drop_encoding().rename(air="t2m").to_netcdf(tmp_path / "other.nc")
    (tmp_path / "model.pt").write_bytes(b"PK\x03\x04 pickled")
    out = ("--steps", "3", "--out", tmp_path / "f.nc")
    cases = [
        (("forecast", air_run, tmp_path / "other.nc", *out), "no variable air; it has t2m"),
        (("forecast", tmp_path / "model.pt", AIR, *out), "pickled checkpoint"),
        (("forecast", tmp_path / "none", AIR, *out), "holds no checkpoint"),
        (("train", "starter", "--data.path", AIR, "--out", air_run, *QUICK), "exists already"),
        (("evaluate", air_run, "--steps", "50", "--out", tmp_path / "r"), "too few for 3 given"),
    ]
    for arguments, said in cases:
        assert run(*arguments) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "f.nc").exists()


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        run("forecast", tmp_path, tmp_path / "x.nc", "--steps", "1", "--out", "f.nc", "--debug")


def test_the_console_script_answers():
    done = subprocess.run(
        [sys.executable, "-m", "framecast", "nonsense"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "framecast: there is no command nonsense" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trian"], "there is no command trian (did you mean train?)"),
        (["--verbose"], "framecast --help lists the commands"),
        (["forecast", "run"], "the following arguments are required: input"),
    ],
)
def test_a_command_that_cannot_be_read_is_one_message(capsys, arguments, said):
    assert run(*arguments) == 2
    message = capsys.readouterr().err
    assert said.lower() in message.lower()
    assert message.count("\n") == 1


WARNS = """
import sys, warnings
from framecast import cli
from framecast.readers import open as reading
def read(*_):
    for _ in range(2):
        warnings.warn_explicit("ours", UserWarning, reading.__file__, 1)
    warnings.warn_explicit("theirs", UserWarning, "/other/library.py", 1)
    raise SystemExit(cli.main(["models", "none"]) and 0)
sys.modules["framecast.cli.inspect"] = type(sys)("fake")
sys.modules["framecast.cli.inspect"].run = read
cli.main(["inspect"])
"""


def test_own_warnings_are_lines_and_others_are_not_shown():
    done = subprocess.run([sys.executable, "-c", WARNS], capture_output=True, text=True)
    lines = done.stderr.splitlines()
    assert lines[0] == "framecast inspect: note: ours"
    assert "theirs" not in done.stderr
    assert done.stderr.count("ours") == 1


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as end:
        run("--version")
    assert end.value.code == 0
    assert capsys.readouterr().out == f"framecast {version('framecast')}\n"


def test_without_a_command_all_are_listed(capsys):
    with pytest.raises(SystemExit) as end:
        run()
    assert end.value.code == 0
    assert "results:\n  evaluate" in capsys.readouterr().out


@pytest.mark.parametrize("rank", ["0", "1"])
def test_what_one_process_does_is_refused_in_several_and_said_once(monkeypatch, capsys, rank):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    assert main(["models"]) == 2
    told = "framecast models: one process does this: start it without torchrun"
    assert (told in capsys.readouterr().err) == (rank == "0")
