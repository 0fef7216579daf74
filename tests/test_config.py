"""Configurations: strict, layered, and shipped as recipes."""

import pytest

from framecast.base.config import dump_config, load_config
from framecast.base.errors import UserError
from framecast.models import Forecaster
from framecast.runs.config import Experiment
from framecast.runs.recipes import find_recipe, recipes


def write(tmp_path, text):
    file = tmp_path / "config.yaml"
    file.write_text(text)
    return file


def test_defaults_then_file_then_overrides(tmp_path):
    file = write(tmp_path, "model: {hidden: 7, depth: 3}\ntraining: {learning_rate: 1e-2}\n")
    experiment = load_config(Experiment, file, ["--model.depth", "5", "--data.variables", "[t, u]"])
    assert experiment.model.hidden == 7
    assert experiment.model.depth == 5
    assert experiment.training.learning_rate == 0.01
    assert experiment.data.variables == ["t", "u"]
    assert experiment.training.epochs == Experiment().training.epochs


def test_a_precision_is_a_number_or_a_name(tmp_path):
    assert load_config(Experiment, write(tmp_path, "training: {precision: 32}"))
    mixed = load_config(Experiment, None, ["--training.precision", "bf16-mixed"])
    assert mixed.training.precision == "bf16-mixed"


def test_options_of_the_layer_come_from_files_and_the_command_line(tmp_path):
    file = write(tmp_path, "model: {layer: conv_lstm, options: {initialisation: uniform}}\n")
    assert load_config(Experiment, file).model.options == {"initialisation": "uniform"}
    changed = load_config(Experiment, file, ["--model.options.initialisation", "xavier_normal"])
    assert changed.model.options == {"initialisation": "xavier_normal"}
    with pytest.raises(UserError, match=r"options of conv_lstm: no option 'initialise' .*mean"):
        load_config(Experiment, file, ["--model.options.initialise", "uniform"])


def test_what_is_dumped_loads_again(tmp_path):
    experiment = load_config(
        Experiment,
        None,
        [
            *("--training.clip", "2", "--training.compile", "true"),
            *("--model.layer", "conv_lstm", "--model.options.initialisation", "uniform"),
            *("--model.stack", "skip", "--model.hidden", "[4, 6, 4, 4]"),
        ],
    )
    assert load_config(Experiment, write(tmp_path, dump_config(experiment))) == experiment


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "model: {hiden: 3}",
            r"config.yaml: unknown key model.hiden \(did you mean model.hidden",
        ),
        ("modle: {hidden: 3}", "unknown key modle"),
        ("model: 3", "model must be keys and values"),
        ("model:", "model must be keys and values"),
        ("- 3", "the file must be keys and values"),
        ("model: {hidden: [", "cannot be read as YAML"),
        (
            "model: {hidden: many}",
            r'key "model.hidden": Expected int or list\[int\]. Got value: many',
        ),
        ("model: {layer: conv_lsm}", "did you mean conv_lstm"),
        ("training: {noise: -1.0}", "training.noise -1.0 must not be negative"),
        ("training: {learning_rate: 0.0}", "training.learning_rate 0.0 must be positive"),
        ("data: {validation_fraction: 1.0}", r"validation_fraction 1.0 must be in \[0, 1\)"),
        ("data: {crops_per_sequence: 0}", "crops_per_sequence 0 must be at least 1"),
    ],
)
def test_mistakes_name_the_key_and_the_remedy(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        load_config(Experiment, write(tmp_path, text))


def test_unknown_options_suggest_the_nearest():
    with pytest.raises(UserError, match=r"--training.epocs \(did you mean training.epochs\?\)"):
        load_config(Experiment, None, ["--training.epocs", "3"])


@pytest.mark.parametrize("name", recipes())
def test_every_recipe_loads_and_builds_its_network(name):
    experiment = load_config(Experiment, find_recipe(name))
    side = 32 if experiment.data.source == "moving_mnist" else 16
    model = Forecaster(experiment.model, 1, grid=(side, side))
    assert recipes()[name]
    parameters = sum(p.numel() for p in model.parameters())
    if name.startswith("navier-stokes") and not name.endswith("-small"):
        assert parameters == pytest.approx(175_000, rel=0.05)
    if "million parameters" in recipes()[name]:
        stated = float(recipes()[name].split(" million parameters")[0].split()[-1])
        assert parameters == pytest.approx(stated * 1e6, abs=0.005e6)


def test_an_unknown_recipe_suggests_the_nearest():
    with pytest.raises(UserError, match="did you mean starter"):
        find_recipe("startr")
