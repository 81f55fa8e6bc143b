"""batch and keys as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
import typer
from typer.testing import CliRunner, Result

from tests.six import Six
from unimp.app.cli import batch, serve
from unimp.errors import CheckpointError, ConfigError, DataError
from unimp.personalizer import Personalizer
from unimp.train.run import BEST, TrainedRun

app = typer.Typer()
batch.register(app)
serve.register(app)


def call(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def run(six: Six, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder that opens as the small shop."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / BEST).write_bytes(b"weights")
    opened = TrainedRun(folder, {}, {}, six.bench, six.model(), {}, six.dataset)
    personalizer = Personalizer(opened, opened.answerer)
    monkeypatch.setattr("unimp.personalizer.load", lambda *_, **__: personalizer)
    return folder


@pytest.fixture
def users(six: Six) -> list[str]:
    return six.dataset.interactions.histories.user_ids.tolist()


def test_shards_hold_the_personalizers_answers_and_are_resumed(
    run: Path, users: list[str], tmp_path: Path
) -> None:
    listed, out = tmp_path / "users.txt", tmp_path / "out"
    listed.write_text("\n".join(users[:7]))
    command = [
        "batch",
        run,
        "--task",
        "recommendation",
        "--users",
        listed,
        "--out",
        out,
        "--shard",
        3,
        "-k",
        4,
    ]
    report = json.loads(call(*command, "--json").stdout)
    assert (report["users"], report["shards"], report["written"]) == (7, 3, 3)
    first = pl.read_parquet(out / "*.parquet")
    assert first["user_id"].to_list() == users[:7]

    from unimp.personalizer import load

    for user, items in zip(users, first["item_ids"].to_list(), strict=False):
        assert items == [item.item_id for item in load(run).recommend(user=user, k=4).items]
    (out / "part-00001.parquet").unlink()
    assert json.loads(call(*command, "--json").stdout)["written"] == 1
    assert pl.read_parquet(out / "*.parquet").equals(first)
    with pytest.raises(ConfigError, match=r"another k \(4, now 5\)"):
        call(*command[:-1], 5)


def test_tasks_with_columns(run: Path, six: Six, users: list[str], tmp_path: Path) -> None:
    items = six.dataset.catalog.item_ids
    table = pl.DataFrame({"user_id": users[:3], "item_id": items[:3], "text": ["bag", "red", "blue mug"]})
    table.write_parquet(tmp_path / "asked.parquet")
    columns = {"search": "item_ids", "rating": "rating", "explanation": "text"}
    for task, column in columns.items():
        out = tmp_path / task
        call("batch", run, "--task", task, "--users", tmp_path / "asked.parquet", "--out", out)
        assert pl.read_parquet(out / "*.parquet")[column].null_count() == 0


def test_mistakes(run: Path, users: list[str], tmp_path: Path) -> None:
    listed, out = tmp_path / "users.csv", tmp_path / "out"

    def ask(task: str) -> None:
        call("batch", run, "--task", task, "--users", listed, "--out", out)

    with pytest.raises(ConfigError, match='did you mean "search"'):
        ask("serch")
    with pytest.raises(DataError, match="cannot be read"):
        ask("rating")
    listed.write_text(f"user_id\n{users[0]}\nnobody\n")
    with pytest.raises(DataError, match=r"column\(s\) missing for search: text"):
        ask("search")
    with pytest.raises(DataError, match='1 unknown user\\(s\\), the first is "nobody"'):
        ask("recommendation")
    assert not out.exists()
    out.mkdir()
    (out / "mine").touch()
    listed.write_text(f"user_id\n{users[0]}\n")
    with pytest.raises(ConfigError, match="not a batch folder"):
        ask("recommendation")


def test_keys_are_shown_once(tmp_path: Path) -> None:
    store = ("--store", f"sqlite:///{tmp_path / 'store.db'}")
    secret = call("keys", "add", "shop", *store, "--role", "read,write-events").stdout.strip()
    assert len(secret) > 40
    assert json.loads(call("keys", "list", *store, "--json").stdout) == {"shop": ["read", "write-events"]}
    assert secret not in call("keys", "list", *store).stdout
    with pytest.raises(ConfigError, match="exists already"):
        call("keys", "add", "shop", *store)
    with pytest.raises(ConfigError, match="known: admin, read, write-events"):
        call("keys", "add", "other", *store, "--role", "root")
    call("keys", "remove", "shop", *store)
    with pytest.raises(ConfigError, match="there is none"):
        call("keys", "remove", "shop", *store)


def test_serve_refuses_before_it_loads(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="only on loopback"):
        call("serve", tmp_path / "run", "--host", "0.0.0.0", "--no-keys")
    with pytest.raises(CheckpointError, match="no such run folder"):
        call("serve", tmp_path / "nowhere", "--port", 0)
