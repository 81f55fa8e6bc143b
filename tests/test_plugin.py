"""The example extension, installed into a virtual environment of its own; nothing of `src` is changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

ROOT = Path(__file__).parents[1]
PLUGIN = ROOT / "examples" / "plugin"
QUICK = [
    '--set=tasks=["recommendation", "substitute"]',
    "--set=train.epochs=2",
    "--set=train.threads=1",
    "--set=model.width=16",
    "--set=model.layers=1",
    "--set=model.heads=2",
    "--set=model.hidden=32",
    "--set=content.text=4",
    "--set=structure.kind=none",
    "--set=vision.enabled=false",
]


class Shell:
    """Runs programs of the environment."""

    def __init__(self, folder: Path) -> None:
        self.python = folder / "bin" / "python"
        kept = {"PATH", "HOME", "TMPDIR", "OMP_NUM_THREADS", "OMP_WAIT_POLICY"}
        self.environment = {name: value for name, value in os.environ.items() if name in kept}
        self.environment["UNIMP_CACHE"] = str(folder / "cache")

    def run(self, *arguments: object, fails: bool = False) -> subprocess.CompletedProcess[str]:
        found = subprocess.run(
            [str(self.python), *map(str, arguments)],
            capture_output=True,
            text=True,
            env=self.environment,
            check=False,
        )
        assert bool(found.returncode) == fails, found.stdout + found.stderr
        return found

    def unimp(self, *arguments: object) -> Any:
        """The JSON document that the command prints."""
        program = "from unimp.cli.main import main; main()"
        return json.loads(self.run("-c", program, *arguments, "--json").stdout)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """An environment that sees this one's packages and this checkout, with the extension installed."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False)
    packages = next(folder.glob("lib/python*/site-packages"))
    (packages / "parent.pth").write_text(f"{ROOT / 'src'}\n{sysconfig.get_paths()['purelib']}\n")
    source = folder / "plugin"
    shutil.copytree(PLUGIN, source, ignore=shutil.ignore_patterns("*.egg-info", "build", "__pycache__"))
    shell = Shell(folder)
    shell.run("-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "-e", source)
    return shell


@pytest.fixture(scope="module")
def data(shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty customers, imported by the extension's source."""
    folder = tmp_path_factory.mktemp("shop")
    rng = np.random.default_rng(3)
    kinds = ("mug", "lamp", "bag")
    lines = []
    for customer in range(40):
        for day in range(5):
            number = int(rng.integers(24))
            article = {"id": f"P{number:02}", "kind": kinds[number % 3]}
            lines.append({"customer": f"ann{customer}", "time": 1_700_000_000 + day, "articles": [article]})
    file = folder / "receipts.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)) + "\n")
    found = shell.unimp("data", "import", "receipts", file, "--out", folder / "data")
    assert (found["source"], found["counts"]["users"]) == ("receipts", 40)
    return folder / "data"


@pytest.fixture(scope="module")
def run(shell: Shell, data: Path) -> Path:
    folder = data.parent / "run"
    shell.unimp("train", "--data", data, "--recipe", "small", "--out", folder, "--device", "cpu", *QUICK)
    return folder


def test_the_task_is_judged_beside_its_reference(shell: Shell, run: Path) -> None:
    report = shell.unimp("evaluate", run, "--task", "substitute", "--references", "--device", "cpu")
    section = report["tasks"]["substitute"]
    assert 0.0 <= section["metrics"]["NDCG@5"] <= 1.0
    assert section["cases"] == 40
    assert set(section["references"]) == {"popular and alike"}


def test_the_new_command_answers(shell: Shell, run: Path) -> None:
    answer = shell.unimp("substitute", run, "--user", "ann3", "--item", "P04", "-k", 3, "--device", "cpu")
    assert answer["instead_of"] == "P04"
    assert len(answer["items"]) == 3
    assert "P04" not in {item["item_id"] for item in answer["items"]} | set(answer["history"])
    helped = shell.run("-c", "from unimp.cli.main import main; main()", "--help").stdout
    assert "Items to take instead" in helped


def test_python_and_batch_ask_the_task(shell: Shell, run: Path) -> None:
    program = (
        "import sys, unimp; p = unimp.load(sys.argv[1], device='cpu');"
        "a = p.ask('substitute', item='P04', user='ann3', k=2);"
        "from unimp_example.substitute import SubstituteRequest;"
        "assert p.answer(SubstituteRequest(item='P04', user='ann3', k=2)) == a; print(len(a.items))"
    )
    assert shell.run("-c", program, run).stdout.split() == ["2"]
    users = run.parent / "users.csv"
    users.write_text("user_id,item_id\nann0,P04\nann1,P05\n")
    shell.unimp("batch", run, "--task", "substitute", "--users", users, "--out", run.parent / "answers")
    table = pl.read_parquet(run.parent / "answers" / "*.parquet")
    assert table["instead_of"].to_list() == ["P04", "P05"]


SERVED = """
import sys
from fastapi.testclient import TestClient
import unimp
from unimp.serve.app import create_app
from unimp.serve.settings import ServeSettings
from unimp.serve.store.store import Store

model = unimp.load(sys.argv[1], device="cpu")
app = create_app(model, Store.open("sqlite:///" + sys.argv[2]), ServeSettings(keys=False))
place = {"base_url": "http://127.0.0.1:8000", "client": ("127.0.0.1", 50000)}
with TestClient(app, **place) as client:
    asked = {"user": "ann3", "item": "P04", "k": 2}
    answer = client.post("/v1/substitute", json=asked)
    assert len(answer.json()["items"]) == 2, answer.text
    wrong = client.post("/v1/substitute", json=asked | {"item": "nope"})
    assert wrong.status_code == 422, wrong.text
    assert "/v1/substitute" in client.get("/openapi.json").json()["paths"]
    page = client.get("/item", params={"user": "ann3", "item": "P04"}).text
    assert "Items to take instead" in page, page
    assert 'class="item"' in page, page
"""


def test_the_service_has_a_route_and_the_page_shows_the_task(shell: Shell, run: Path) -> None:
    shell.run("-c", SERVED, run, run.parent / "store.db")


def test_the_method_is_judged_by_the_benchmark(shell: Shell, data: Path) -> None:
    made = shell.unimp(
        "bench",
        "run",
        "--data",
        data,
        "--methods",
        "recent-pop,pop",
        "--out",
        data.parent / "bench",
        "--quiet",
    )
    assert {job["method"] for job in made} == {"recent-pop", "pop"}


def test_the_extensions_keep_the_contracts(shell: Shell) -> None:
    tests = shell.python.parents[1] / "plugin" / "tests"
    shell.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tests, tests)


def test_no_line_of_ours_knows_the_extension() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        assert "unimp_example" not in path.read_text(), path


def test_the_environment_of_the_tests_does_not_have_it() -> None:
    from unimp.tasks import TASKS

    assert "substitute" not in TASKS, f"uninstall the example extension from {sys.prefix}"
