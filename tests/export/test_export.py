"""framecast export: files that run without framecast, and what is refused."""

import json
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest
import torch

from framecast.base.errors import UserError
from framecast.cli import main
from framecast.export import MANIFEST, export
from framecast.export.manifest import PREFIX
from framecast.layers import layer_names
from globe import CONTEXT, STEPS, all_roles, beside, checkpoint_of, expected, frames_of
from small import untrained_run

pytestmark = pytest.mark.usefixtures("unchecked_types")


@pytest.fixture
def saved(tmp_path):
    """Save a checkpoint, and return the path."""

    def save(checkpoint):
        checkpoint.save(tmp_path / "best.safetensors")
        return tmp_path / "best.safetensors"

    return save


def in_onnx_runtime(folder, checkpoint, frames):
    """Frames at lead 1 to STEPS, by the manifest and ONNX Runtime alone."""
    onnxruntime = pytest.importorskip("onnxruntime")
    said = json.loads((folder / MANIFEST).read_text())
    sessions = {
        name: onnxruntime.InferenceSession(folder / program["file"])
        for name, program in said["programs"].items()
    }
    read = [frames.names.index(c.name) for c in checkpoint.frames.of_role("prognostic")]
    given = {"frames": frames.values[:, :CONTEXT, read]} | beside(checkpoint, frames, 0, CONTEXT)
    predictions, name = [], "context"
    for lead in range(STEPS):
        named = {
            entry["name"]: np.asarray(given[entry["name"]])
            for entry in said["programs"][name]["inputs"]
        }
        taken = {i.name: named[i.name] for i in sessions[name].get_inputs()}
        returned = sessions[name].run(None, taken)
        found = dict(zip(said["programs"][name]["returns"], returned, strict=True))
        predictions.append(torch.from_numpy(found["prediction"]))
        given = {n.removeprefix(PREFIX): v for n, v in found.items() if n.startswith(PREFIX)}
        given["frame"] = found["prediction"][:, : said["fed_back"]]
        now, name = CONTEXT + lead, "step"
        given |= beside(checkpoint, frames, now, now + 1) if lead + 1 < STEPS else {}
        if "actions" in given:
            given["actions"] = given["actions"][:, 0]
    return torch.stack(predictions, dim=1)


def test_onnx_forecasts_from_all_roles_what_framecast_does(tmp_path, saved):
    frames, checkpoint = all_roles()
    made = export(saved(checkpoint), tmp_path / "out", "onnx")
    assert made.difference < 1e-4
    forecast = in_onnx_runtime(tmp_path / "out", checkpoint, frames)
    wanted = expected(checkpoint, frames)
    torch.testing.assert_close(forecast, wanted, equal_nan=True, rtol=1e-4, atol=1e-4)


def test_pt2_runs_where_framecast_cannot_be_imported(tmp_path, saved):
    frames = frames_of(["u", "v"])
    checkpoint = checkpoint_of(frames, layer="conv_s5", depth=1)
    export(saved(checkpoint), tmp_path / "out", "torch")
    np.save(tmp_path / "given.npy", frames.values[:, :CONTEXT].numpy())
    code = (
        "import sys, numpy, torch\nsys.modules['framecast'] = None\n"
        "given = torch.from_numpy(numpy.load('given.npy'))\n"
        "read = torch.export.load('out/context.pt2').module()\n"
        "step = torch.export.load('out/step.pt2').module()\n"
        "frame, *state = read(given)\nframe, *state = step(frame, *state)\n"
        "numpy.save('found.npy', frame.detach().numpy())"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    found = torch.from_numpy(np.load(tmp_path / "found.npy"))
    torch.testing.assert_close(found, expected(checkpoint, frames)[:, 1])


@pytest.mark.slow
@pytest.mark.parametrize("layer", layer_names())
@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_every_layer_is_exported(tmp_path, saved, layer, kind):
    frames = frames_of(["u", "v"])
    checkpoint = checkpoint_of(frames, layer=layer)
    assert export(saved(checkpoint), tmp_path / "out", kind).difference < 1e-4
    if kind == "onnx":
        forecast = in_onnx_runtime(tmp_path / "out", checkpoint, frames)
        torch.testing.assert_close(forecast, expected(checkpoint, frames), rtol=1e-4, atol=1e-4)


def test_a_step_takes_other_grids_and_batches(tmp_path, saved):
    onnxruntime = pytest.importorskip("onnxruntime")
    checkpoint = checkpoint_of(frames_of(["u", "v"]), depth=1, patch=2, padding="circular")
    export(saved(checkpoint), tmp_path / "out")
    step = onnxruntime.InferenceSession(tmp_path / "out" / "step.onnx")
    said = json.loads((tmp_path / "out" / MANIFEST).read_text())["programs"]["step"]
    size = {"batch": 1, "height": 10, "width": 14, "height/2": 5, "width/2": 7}
    starts = {
        entry["name"]: np.full([size.get(s, s) for s in entry["shape"]], entry["start"], np.float32)
        for entry in said["state"]
    }
    frame = np.random.default_rng(0).normal(size=(1, 2, 10, 14)).astype(np.float32)
    found, *_ = step.run(["prediction"], {"frame": frame} | starts)
    seen = torch.from_numpy(frame)[:, None] - checkpoint.statistics.offset[:, None, None]
    seen = seen / checkpoint.statistics.scale[:, None, None]
    with torch.no_grad():
        wanted, _ = checkpoint.model(seen)
    wanted = checkpoint.scaling.denormalise(wanted[:, 0])
    torch.testing.assert_close(torch.from_numpy(found), wanted, rtol=1e-4, atol=1e-4)


def test_the_command_says_what_it_wrote_and_replaces_only_its_own(tmp_path, capsys):
    np.save(tmp_path / "waves.npy", np.random.default_rng(0).normal(size=(2, 8, 1, 6, 6)))
    run = tmp_path / "run"
    run.mkdir()
    untrained_run(run, tmp_path / "waves.npy", depth=1)
    command = ["export", str(run), str(tmp_path / "out"), "--torch", "--context", "2"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "context.pt2 reads 2 frames" in said
    assert "on any grid" in said
    assert main(command) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    thesis = tmp_path / "out" / "thesis.txt"
    thesis.write_text("mine")
    assert main([*command, "--overwrite"]) == 2
    assert "thesis.txt beside it" in capsys.readouterr().err
    assert thesis.read_text() == "mine"


@pytest.mark.parametrize("manifest", [None, "[]", "{", '{"name": "a web page"}'])
def test_a_folder_of_something_else_is_never_replaced(tmp_path, manifest):
    (tmp_path / "thesis.txt").write_text("mine")
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(UserError, match="no exported model"):
        export("run", tmp_path, overwrite=True)


@pytest.mark.parametrize(
    ("order", "message"),
    [({"kind": "pt2"}, "no kind of export"), ({"context": -3}, "at least one given frame")],
)
def test_an_export_that_cannot_be_is_refused(tmp_path, order, message):
    with pytest.raises(UserError, match=message):
        export("run", tmp_path / "out", **order)


def test_a_file_that_forecasts_something_else_is_not_written(tmp_path, saved, monkeypatch):
    path = saved(checkpoint_of(frames_of(["u", "v"]), depth=1))
    monkeypatch.setattr(import_module("framecast.export.check"), "TOLERANCE", -1.0)
    with pytest.raises(UserError, match="something else than the trained one: at lead 1"):
        export(path, tmp_path / "out", "torch")
    assert not (tmp_path / "out").exists()


def test_the_formulas_beside_it_need_numpy_alone(tmp_path, saved):
    checkpoint = checkpoint_of(frames_of(["u"]), {"derived": ("time_of_day",)}, depth=1)
    export(saved(checkpoint), tmp_path / "out", "torch")
    code = (
        "import sys\nsys.modules['framecast'] = sys.modules['torch'] = None\n"
        "import derived, numpy\n"
        "times = numpy.array(['2020-02-27T06'], 'datetime64[ns]')\n"
        "print(derived.forcing_fields('time_of_day', times, None, None).ravel().round(6).tolist())"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "out", capture_output=True, text=True
    )
    assert told.stdout == "[1.0, 0.0]\n", told.stderr
