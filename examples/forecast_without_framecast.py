"""Forecast with an exported model: NumPy and ONNX Runtime alone, no framecast and no PyTorch.

    framecast export runs/first --onnx exported
    python examples/forecast_without_framecast.py exported frames.npy 24 forecast.npy

The frames are [T,C,H,W] in the units that the manifest names, NaN where a value is missing.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime


def forecast(folder: Path, frames: np.ndarray, steps: int) -> np.ndarray:
    """Return the frames at lead 1 to `steps`, [steps,C,H,W], after frames [T,C,H,W]."""
    manifest = json.loads((folder / "manifest.json").read_text())
    programs = manifest["programs"]
    sessions = {
        name: onnxruntime.InferenceSession(folder / program["file"])
        for name, program in programs.items()
    }
    if beside := [entry["name"] for entry in programs["context"]["inputs"][1:]]:
        raise SystemExit(f"this model reads {', '.join(beside)} too: pass them beside the frames")
    given, name, leads = {"frames": frames[None, -manifest["context"] :]}, "context", []
    for _ in range(steps):
        returned = sessions[name].run(None, given)
        found = dict(zip(programs[name]["returns"], returned, strict=True))
        leads.append(found["prediction"][0])
        state = {f"next_{entry['name']}": entry["name"] for entry in programs[name]["state"]}
        given = {ours: found[returned] for returned, ours in state.items()}
        given["frame"] = found["prediction"][:, : manifest["fed_back"]]
        name = "step"
    return np.stack(leads)


if __name__ == "__main__":
    source, given, steps, out = sys.argv[1:]
    np.save(out, forecast(Path(source), np.load(given).astype(np.float32), int(steps)))
