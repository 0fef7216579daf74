"""Configurations: strict, layered, and shipped as recipes."""

from dataclasses import dataclass

import pytest

from framecast.base.config import check_options, dump_config, load_config
from framecast.base.errors import UserError
from framecast.runs.experiment import Experiment


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
            *("--training.gradient_clip", "2", "--training.compile", "true"),
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
            "model.hidden: expected a whole number or a list of whole numbers, not many",
        ),
        ("model: {depth: null}", "model.depth: expected a whole number or a list of"),
        ("training: {compile: maybe}", "training.compile: expected true or false, not maybe"),
        (
            "model: {padding: circlar}",
            r"model.padding: expected one of zeros, circular, .* \(did you mean circular\?\)",
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
    with pytest.raises(UserError, match=r"--training.epocs \(did you mean --training.epochs"):
        load_config(Experiment, None, ["--training.epocs", "3"])


@pytest.mark.parametrize("overrides", [["training.epochs", "3"], ["--training.epochs"]])
def test_overrides_are_names_and_values(overrides):
    with pytest.raises(UserError, match="overrides are --KEY VALUE"):
        load_config(Experiment, None, overrides)


def test_an_override_replaces_all_options_or_one(tmp_path):
    file = write(tmp_path, "model: {layer: conv_tt_lstm, options: {order: 2, history: 4}}\n")
    one = load_config(Experiment, file, ["--model.options.order=3"])
    assert one.model.options == {"order": 3, "history": 4}
    both = load_config(
        Experiment, file, ["--model.options", "{ranks: 2}", "--model.options.order", "1"]
    )
    assert both.model.options == {"ranks": 2, "order": 1}


@dataclass(frozen=True)
class Factors:
    order: int = 2
    ranks: int | list[int] = 8

    def __post_init__(self):
        if self.order < 1:
            raise ValueError(f"order {self.order} must be at least 1")


class Layer:
    def __init__(self, width, *, bounds: dict[str, float], factors: Factors | None = None, more=1):
        pass


def test_options_may_be_dataclasses_and_mappings():
    given = {"factors": {"order": "3"}, "bounds": {"rain": 0}}
    checked = check_options(Layer, given, {"width"})
    assert checked == {"factors": Factors(3), "bounds": {"rain": 0.0}}
    assert check_options(Layer, checked) == checked
    assert check_options(Layer, {"factors": None, "more": [1]}) == {"factors": None, "more": [1]}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"factors": {"ordr": 3}}, r"factors: no option 'ordr' \(did you mean order\?\)"),
        ({"factors": {"order": 0}}, "factors: order 0 must be at least 1"),
        ({"factors": 3}, "factors: expected names and values or null, not 3"),
        ({"bounds": {"rain": "low"}}, "bounds: expected names and values, not {'rain': 'low'}"),
        ({"bounds": None}, "bounds: expected names and values, not null"),
    ],
)
def test_mistakes_in_such_options_are_named(given, message):
    with pytest.raises(ValueError, match=message):
        check_options(Layer, given)
