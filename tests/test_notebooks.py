"""The notebooks run from first cell to last, at small sizes, and are stored without output.

Cells are run here as Jupyter runs them, one after the other in one namespace: these notebooks use
nothing else of it. After the cell with the tag `parameters`, smaller ones take the place of its.
"""

import json
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


def cells(notebook, kind="code"):
    found = json.loads(notebook.read_text())["cells"]
    return [cell for cell in found if cell["cell_type"] == kind]


def run(name, **parameters):
    """Run a notebook with other parameters; return what its names stand for at the end."""
    names = {"__name__": "__main__"}
    for cell in cells(EXAMPLES / name):
        exec(compile("".join(cell["source"]), name, "exec"), names)
        if "parameters" in cell["metadata"].get("tags", ()):
            assert set(parameters) <= set(names), f"{name} has no such parameters"
            names |= parameters
    return names


@pytest.fixture(autouse=True)
def _no_windows(monkeypatch):
    monkeypatch.setattr("matplotlib.pyplot.show", lambda: None)
    yield
    __import__("matplotlib.pyplot").pyplot.close("all")


def test_a_file_of_ones_own(tmp_path, capsys):
    file = Path(__file__).parent / "data" / "air_temperature_small.nc"
    run("own_file.ipynb", FILE=str(file), OUT=str(tmp_path / "out"), EPOCHS=1)
    assert (tmp_path / "out" / "evaluation" / "report.html").exists()
    assert (tmp_path / "out" / "forecast.nc").exists()
    assert "persistence" in capsys.readouterr().out


def test_layers_and_loops():
    names = run("layers_and_loops.ipynb", FRAMES=5, STEPS=40)
    assert names["losses"][-1] < names["losses"][0] / 5
    assert names["rmse"]["true frames"].mean() < names["rmse"]["persistence"].mean()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_stored_without_output_and_listed(notebook):
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells(notebook))
    assert f"({notebook.name})" in (EXAMPLES / "README.md").read_text()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_links_lead_somewhere(notebook):
    text = "".join("".join(cell["source"]) for cell in cells(notebook, "markdown"))
    for target in [part.split(")")[0] for part in text.split("](")[1:]]:
        assert (EXAMPLES / target).exists(), target
