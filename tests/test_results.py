"""Evidence of reported results: what is kept of it, and the tables that are made from it."""

import json
from pathlib import Path

import collect
import curves
import pytest
import tables

ROOT = Path(__file__).parent.parent


def _forecast(label, rmse, runs=(), spread=None):
    mean = (sum(v**2 for v in rmse) / len(rmse)) ** 0.5
    metric = {"value": rmse, "spread": spread}
    average = {"value": [mean], "spread": None if spread is None else [spread[0]]}
    return {
        "label": label,
        "runs": [
            {"path": f"runs/{run}", "layer": label, "seed": 0, "parameters": 1234} for run in runs
        ],
        "metrics": {"t": {"closed_loop": {"rmse": metric}}},
        "frame_metrics": {"closed_loop": {"psnr": {"value": [None, 20.0], "spread": None}}},
        "averages": {
            "metrics": {"t": {"rmse": average}},
            "frame_metrics": {"psnr": {"value": [20.0], "spread": None}},
        },
    }


def _numbers(*runs):
    return {
        "data": {"source": "data/t.nc", "channels": [{"name": "t", "units": "K"}]},
        "windows": 7,
        "context": 4,
        "steps": 2,
        "lead_times": [6.0, 12.0],
        "lead_time_units": "h",
        "models": [_forecast("conv_gru", [1.0, 3.0], runs)],
        "baselines": [_forecast("persistence", [2.0, 4.0])],
    }


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "runs" / "first"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("data:\n  path: data/t.nc\n")
    (folder / "log.csv").write_text("epoch,val_loss\n1,0.5\n")
    (folder / "environment.json").write_text("{}")
    (folder / "best.safetensors").write_bytes(b"weights")
    (folder / "resume.ckpt").write_bytes(b"not kept")
    return folder


@pytest.fixture
def evaluation(tmp_path):
    folder = tmp_path / "evaluation"
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps(_numbers("first")))
    (folder / "curves.png").write_bytes(b"not kept")
    return folder


def _names(folder):
    return sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file())


def test_what_is_kept_of_a_run(run, evaluation, tmp_path):
    out = collect.collect([run], evaluation, "air", results=tmp_path / "results")
    assert _names(out) == [
        "best.safetensors",
        "config.yaml",
        "environment.json",
        "log.csv",
        "metrics.json",
    ]
    assert (out / "best.safetensors").read_bytes() == b"weights"


def test_runs_that_were_compared_have_a_folder_each(run, evaluation, tmp_path):
    second = run.with_name("second")
    second.mkdir()
    for file in run.iterdir():
        (second / file.name).write_bytes(file.read_bytes())
    (evaluation / "metrics.json").write_text(json.dumps(_numbers("first", "second")))
    results = tmp_path / "results"
    with pytest.raises(collect.RefusedError, match="first, second, but given are first"):
        collect.collect([run], evaluation, "air", results=results)
    (second / "best.safetensors").write_bytes(bytes(2_000_001))
    out = collect.collect([run, second], evaluation, "air", results=results, weights=[second])
    kept = [f"{n}/{f}" for n in ("first", "second") for f in collect.KEPT]
    assert _names(out) == sorted(["metrics.json", "second/best.safetensors", *kept])


def test_runs_of_the_same_seed_are_told_apart_by_the_folder_around(run, evaluation, tmp_path):
    runs = [tmp_path / "runs" / recipe / "seed_0" for recipe in ("gru", "lstm")]
    for folder in runs:
        folder.mkdir(parents=True)
        for file in run.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
    (evaluation / "metrics.json").write_text(json.dumps(_numbers("gru/seed_0", "lstm/seed_0")))
    out = collect.collect(runs, evaluation, "both", results=tmp_path / "results")
    assert (out / "gru" / "seed_0" / "log.csv").exists()
    assert (out / "lstm" / "seed_0" / "best.safetensors").exists()
    with pytest.raises(collect.RefusedError, match="give each of them once"):
        collect.collect([runs[0], runs[0]], evaluation, "twice", results=tmp_path / "results")


def test_nothing_is_replaced_unless_asked_for(run, evaluation, tmp_path):
    results = tmp_path / "results"
    collect.collect([run], evaluation, "air", results=results)
    (run / "log.csv").write_text("epoch,val_loss\n1,0.4\n")
    with pytest.raises(collect.RefusedError, match="--overwrite"):
        collect.collect([run], evaluation, "air", results=results)
    assert "0.5" in (results / "air" / "log.csv").read_text()
    collect.collect([run], evaluation, "air", results=results, overwrite=True)
    assert "0.4" in (results / "air" / "log.csv").read_text()


def test_large_weights_and_a_large_total_are_refused(run, evaluation, tmp_path):
    results = tmp_path / "results"
    (run / "best.safetensors").write_bytes(bytes(2_000_001))
    with pytest.raises(collect.RefusedError, match="--weights-of RUN"):
        collect.collect([run], evaluation, "air", results=results)
    assert not (results / "air").exists()
    (run / "best.safetensors").write_bytes(bytes(2_000_000))
    (results / "other").mkdir(parents=True)
    (results / "other" / "log.csv").write_bytes(bytes(38_000_000))
    with pytest.raises(collect.RefusedError, match="40 MB is the most"):
        collect.collect([run], evaluation, "air", results=results)
    collect.collect([run], evaluation, "air", results=results, weights=())


@pytest.mark.parametrize("path", ["/home/me/t.nc", "../t.nc"])
def test_data_that_nobody_else_has_are_refused(path, run, evaluation, tmp_path):
    (run / "config.yaml").write_text(f"data:\n  path: {path}\n")
    with pytest.raises(collect.RefusedError, match=path):
        collect.collect([run], evaluation, "air", results=tmp_path / "results")


def test_a_missing_file_is_named_on_the_command_line(run, evaluation, capsys):
    (run / "log.csv").unlink()
    assert collect.main([str(run), str(evaluation), "never_written"]) == 2
    assert "log.csv does not exist" in capsys.readouterr().err
    assert not (ROOT / "results" / "never_written").exists()


def test_large_errors_are_written_without_an_exponent():
    numbers = _numbers("first") | {"baselines": [_forecast("persistence", [1076.0, 1312.4])]}
    assert "| 1,080 | 1,310 |" in tables.make_table(numbers)


def test_tables_and_curves_are_made_once(tmp_path):
    page = tmp_path / "docs" / "results.md"
    page.parent.mkdir()
    page.write_text("# Results\n\n<!-- table air -->\n<!-- end -->\n\nText.\n")
    (tmp_path / "results" / "air").mkdir(parents=True)
    numbers = tmp_path / "results" / "air" / "metrics.json"
    numbers.write_text(json.dumps(_numbers("first")))
    picture = tmp_path / "docs" / "pictures" / "results_air.png"
    assert tables.make_all(tmp_path) == [page, picture]
    text, drawn = page.read_text(), picture.read_bytes()
    assert (
        "| t (K) | `conv_gru` | 1,234 | **1** (+50 %) | **3** (+25 %) | **2.24** (+29 %) |" in text
    )
    assert text.startswith("# Results\n\n<!-- table air -->\n")
    assert text.endswith("<!-- end -->\n\nText.\n")
    assert tables.make_all(tmp_path) == []
    assert (page.read_text(), picture.read_bytes()) == (text, drawn)
    numbers.write_text(json.dumps(_numbers("first")).replace("[1.0, 3.0]", "[1.5, 3.0]"))
    assert tables.make_all(tmp_path) == [page, picture]


def test_other_metrics_spreads_and_missing_values():
    numbers = _numbers("first", "second")
    numbers["models"] = [_forecast("conv_gru", [1.0, 3.0], ("a", "b"), [0.25, 0.5])]
    assert "`conv_gru` (2 seeds) | 1,234 | **1 ± 0.2**" in tables.make_table(numbers)
    assert "|  | persistence |  | – | **20** | **20** |" in tables.make_table(numbers, "psnr")
    with pytest.raises(ValueError, match="no metric ssim"):
        tables.make_table(numbers, "ssim")


def test_a_table_of_an_entry_that_is_not_there_is_an_error(tmp_path):
    page = tmp_path / "docs" / "results.md"
    page.parent.mkdir()
    page.write_text("<!-- table air -->\n<!-- end -->\n")
    with pytest.raises(ValueError, match="has a table air"):
        tables.make_all(tmp_path)


@pytest.mark.parametrize("name", tables.PAGES)
def test_the_tables_of_the_pages_are_those_of_the_files(name):
    page = ROOT / name
    assert tables.fill(page, ROOT) == page.read_text()


def test_all_results_have_files():
    readme = (ROOT / "README.md").read_text()
    first_page = readme.split("## Results")[1].split("\n## ")[0]
    for results in (first_page, (ROOT / "docs" / "results.md").read_text()):
        assert "<!-- table " in results
        assert "\n| " not in tables._TABLE.sub("", results)


def _recognition(quarter, half):
    return {
        "classes": ["move_left", "join"],
        "trained_shares": [0.25, 0.5],
        "shares": {
            str(share): {
                "sequences": 1600,
                "top_1": top,
                "most_frequent": 0.0625,
                "best_possible": 0.5 + share,
                "per_class": {"move_left": top - 0.1, "join": top + 0.1},
                "best_possible_per_class": {"move_left": 0.4, "join": 0.6},
            }
            for share, top in ((0.25, quarter), (0.5, half))
        },
    }


def test_classes_named_right_by_share_and_by_class():
    numbers = _numbers("first")
    two = _forecast("conv_lstm", [1.0, 3.0], ("a", "b"))
    one = _forecast("conv_gru", [1.0, 3.0], ("c",))
    two["recognition"] = [_recognition(0.4, 0.6), _recognition(0.5, 0.7)]
    one["recognition"] = [_recognition(0.44, 0.75)]
    numbers["models"] = [two, one]
    table = tables.make_table(numbers, "accuracy")
    assert "| `conv_lstm` (2 seeds) | 1,234 | **45.0 ± 7.1** | 65.0 ± 7.1 |" in table
    assert "| `conv_gru` | 1,234 | 44.0 | **75.0** |" in table
    assert "| best possible guess |  | 75.0 | 100.0 |" in table
    assert "| most frequent class |  | 6.2 | 6.2 |" in table
    assert "1,600 sequences" in table
    assert "named right (%), the mean over seeds ±" in table
    alone = tables.make_table(numbers | {"models": [one]}, "accuracy")
    assert "named right (%). Bold" in alone
    classes = tables.make_table(numbers, "accuracy@0.25")
    assert "| class | `conv_lstm` (2 seeds) | `conv_gru` | best possible guess |" in classes
    assert "| move left | **35.0 ± 7.1** | 34.0 | 40.0 |" in classes
    with pytest.raises(ValueError, match=r"no share 0\.3: there are 0\.25, 0\.5"):
        tables.make_table(numbers, "accuracy@0.3")
    with pytest.raises(ValueError, match="no models that name classes"):
        tables.make_table(_numbers("first"), "accuracy")
    assert curves.draw(numbers) != curves.draw(_numbers("first"))


def test_what_is_remembered_by_age():
    numbers = _numbers("first")
    numbers["axes"] = {"age": {"labels": ["new", "1–8", "9–16"], "units": "frames"}}
    ages = {"conv_gru": [17.5, None, 24.25], "persistence": [18.0, None, 12.0]}
    for forecast in (*numbers["models"], *numbers["baselines"]):
        by_age = {"value": [ages[forecast["label"]]], "spread": None}
        forecast["averages"]["frame_metrics"]["psnr_by_age"] = by_age
    table = tables.make_table(numbers, "psnr_by_age")
    assert "| forecast | parameters | new | 9–16 |\n" in table
    assert "| `conv_gru` | 1,234 | 17.5 | **24.2** |\n" in table
    assert "| persistence |  | **18** | 12 |\n" in table
    assert "last shown so many frames ago" in table
    with pytest.raises(ValueError, match="no metric ssim_by_age"):
        tables.make_table(numbers, "ssim_by_age")
    assert curves.draw(numbers) != curves.draw(_numbers("first"))
