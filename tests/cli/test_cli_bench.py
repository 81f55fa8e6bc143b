import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from unimp.baselines import METHODS, MethodEntry
from unimp.cli import bench
from unimp.core.errors import ConfigError, DataError
from unimp.testing.world import toy_world


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(toy_world().write(tmp_path_factory.mktemp("data") / "toy").folder)


def call(*arguments: str | Path) -> Result:
    app = typer.Typer()
    app.callback()(lambda: None)
    bench.register(app)
    return CliRunner().invoke(app, ["bench", *map(str, arguments)])


def run(data: str, out: Path, *more: str) -> Result:
    return call("run", "--data", data, "--out", out, "--quiet", *more)


def test_run_then_table(data: str, tmp_path: Path) -> None:
    first = run(data, tmp_path, "--methods", "pop,itemknn", "--set", "itemknn.recency=0.5", "--json")
    assert first.exit_code == 0, first.stderr
    assert [entry["done_before"] for entry in json.loads(first.stdout)] == [False, False]
    again = run(data, tmp_path, "--methods", "pop, itemknn", "--set", "itemknn.recency=0.5", "--json")
    assert [entry["done_before"] for entry in json.loads(again.stdout)] == [True, True]

    shown = call("table", tmp_path, "--json", "--html", tmp_path / "report.html")
    document = json.loads(shown.stdout)
    assert [row["method"] for row in document["rows"]] == ["itemknn", "pop"]
    assert document["rows"][0]["config"]["recency"] == 0.5
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert "ItemKNN" in call("table", tmp_path).stdout
    assert "| ItemKNN" in call("table", tmp_path, "--format", "markdown").stdout
    assert r"\toprule" in call("table", tmp_path, "--format", "latex").stdout
    refused = call("table", tmp_path, "--format", "latex", "--json").exception
    assert isinstance(refused, ConfigError)
    assert "leave one of them out" in str(refused)


def test_methods_are_listed() -> None:
    listed = json.loads(call("methods", "--json").stdout)
    assert [entry["name"] for entry in listed] == [*METHODS, "unimp", "features"]
    assert listed[0] == {
        "name": "pop",
        "title": "Pop",
        "paper": None,
        "inputs": ["ids"],
        "seeded": False,
        "tests": "tests/baselines/test_pop.py",
        "settings": {},
        "tuned": {},
    }
    assert all(Path(entry["tests"]).is_file() for entry in listed)
    assert "Steck, WWW 2019" in call("methods").stdout


def test_an_extra_method_is_run_like_any_other(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = MethodEntry("unimp.baselines.pop:Pop", "One more", "", seeded=False)
    known = bench.all_methods()
    monkeypatch.setattr(bench, "all_methods", lambda: {**known, "more": extra})
    assert run(data, tmp_path, "--methods", "more,pop").exit_code == 0
    assert {row["method"] for row in json.loads(call("table", tmp_path, "--json").stdout)["rows"]} == {
        "more",
        "pop",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--methods", "pop,eese"), "unknown method 'eese'; did you mean \"ease\""),
        (("--methods", "pop", "--set", "ease.l2=3"), "--set ease: expected METHOD.KEY=VALUE"),
        (("--methods", "ease", "--set", "ease.l2=none"), "--set ease: l2: "),
        (("--methods", "pop", "--split", "leave-two-out"), "unimp bench run: split: "),
        (("--methods", "pop", "--cutoffs", "five"), "unimp bench run: cutoffs.0: "),
        (
            ("--methods", "pop", "--cutoffs", "0"),
            "cutoffs: 0: give different whole",
        ),
        (("--methods", "pop", "--cutoffs", "5,3,5"), "5,3,5: give different whole numbers of at least 1"),
        (("--methods", " , "), "--methods: name at least one"),
    ],
)
def test_mistakes_are_named(data: str, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    found = run(data, tmp_path, *arguments)
    assert isinstance(found.exception, ConfigError)
    assert message in str(found.exception)


def test_absent_folders_are_named(tmp_path: Path) -> None:
    assert isinstance(run(str(tmp_path / "no"), tmp_path, "--methods", "pop").exception, DataError)
    assert isinstance(call("table", tmp_path / "no").exception, DataError)


def test_unimp_is_tuned_by_the_same_budget_as_a_baseline(data: str, tmp_path: Path) -> None:
    small = ("model.hidden=16", "train.epochs=1", "train.threads=1", "structure.kind=cosine")
    settings = [part for setting in small for part in ("--set", f"unimp.settings.{setting}")]
    found = run(data, tmp_path, "--methods", "unimp,ease", "--tune", "2", *settings)
    assert found.exit_code == 0, found.exception
    rows = json.loads(call("table", tmp_path, "--json").stdout)["rows"]
    assert {row["method"] for row in rows} == {"unimp", "ease"}
    for row in rows:
        assert row["tuning"]["budget"] == {"trials": 2, "minutes": None, "seed": 0}
        assert len(row["tuning"]["tries"]) == 2
    (unimp,) = (row for row in rows if row["method"] == "unimp")
    assert unimp["tuning"]["tries"][0]["settings"]["settings.train.lr"] == 1e-3
    assert "tuning: 2 trials each" in call("table", tmp_path).stdout


def test_minutes_are_a_cap_of_tuning(data: str, tmp_path: Path) -> None:
    found = run(data, tmp_path, "--methods", "pop", "--tune-minutes", "3")
    assert "--tune-minutes 3: only with --tune N" in str(found.exception)


def test_fusions_are_checked_before_any_work(data: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no fusion 'learnd'"):
        bench.chosen_fusions("none,learnd", ["pop"])
    with pytest.raises(ConfigError, match="features has no scores of its own"):
        bench.chosen_fusions("none,closed", ["features"])
    with pytest.raises(ConfigError, match="no fusion"):
        bench.chosen_fusions("", ["pop"])
    assert [one.kind for one in bench.chosen_fusions("none, closed,closed", ["pop"])] == ["none", "closed"]


def test_features_alone_from_the_command_line(data: str, tmp_path: Path) -> None:
    done = run(data, tmp_path, "--methods", "features,pop", "--fusion", "closed", "--json")
    assert done.exit_code == 0, done.stderr
    assert [entry["fusion"] for entry in json.loads(done.stdout)] == ["closed", "closed"]
    table = call("table", tmp_path)
    assert "closed fusion" in table.stdout
    assert "Features only" in table.stdout
