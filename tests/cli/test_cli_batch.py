"""batch and keys as a user meets them."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from tests.closeness import close_rankings
from tests.six import Six
from unimp.answer import RankedItem
from unimp.batch.lines import as_text
from unimp.cli import batch, serve
from unimp.core.errors import CheckpointError, ConfigError, DataError, MissingExtra
from unimp.personalizer import Personalizer
from unimp.runs.folder import BEST
from unimp.runs.open_run import TrainedRun
from unimp.tasks.forms import listed_ids

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
    opened = TrainedRun(folder, {}, {}, six.artifacts, six.model(), {}, six.dataset)
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
    assert (report["answered"], report["shards"], report["written"]) == (7, 3, 3)
    first = pl.read_parquet(out / "*.parquet")
    assert first["user_id"].to_list() == users[:7]

    from unimp.personalizer import load

    for user, row in zip(users, first.iter_rows(named=True), strict=False):
        close_rankings(ranked(row), ranked_of(load(run).recommend(user=user, k=4).items))
    (out / "part-00001.parquet").unlink()
    assert json.loads(call(*command, "--json").stdout)["written"] == 1
    assert pl.read_parquet(out / "*.parquet").equals(first)
    with pytest.raises(ConfigError, match=r"another k \(4, now 5\)"):
        call(*command[:-1], 5)


def test_partitions_by_user_hold_the_same_answers(run: Path, users: list[str], tmp_path: Path) -> None:
    """Whoever comes twice is in one part; the parts are those of a hash, the same on every machine."""
    listed, out = tmp_path / "users.txt", tmp_path / "out"
    listed.write_text("\n".join(users[:20] + users[:3]))
    command = ["batch", run, "--task", "recommendation", "--users", listed, "-k", 4]
    call(*command, "--out", tmp_path / "plain")
    call(*command, "--out", out, "--partitions", 4)
    parts = [pl.read_parquet(path) for path in sorted(out.glob("*.parquet"))]
    assert 1 < len(parts) <= 4
    members = [set(part["user_id"]) for part in parts]
    assert sum(map(len, members)) == 20
    together = {row["user_id"]: row for part in parts for row in part.iter_rows(named=True)}
    plain = pl.read_parquet(tmp_path / "plain" / "*.parquet")
    assert sum(part.height for part in parts) == plain.height == 23
    for row in plain.iter_rows(named=True):
        close_rankings(ranked(together[row["user_id"]]), ranked(row))
    with pytest.raises(ConfigError, match=r"another shard \(None, now 10000\)"):
        call(*command, "--out", out)


def test_ray_is_an_extra_and_its_address_needs_it(run: Path, users: list[str], tmp_path: Path) -> None:
    listed = tmp_path / "users.txt"
    listed.write_text(users[0])
    command = ["batch", run, "--task", "recommendation", "--users", listed, "--out", tmp_path / "out"]
    with pytest.raises(ConfigError, match="only with --engine ray"):
        call(*command, "--address", "127.0.0.1:1")
    if find_spec("ray") is None:
        with pytest.raises(MissingExtra, match=r"unimp\[scale\]"):
            call(*command, "--engine", "ray")


def ranked(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The ranking of one line of an answer, as the service gives it."""
    pairs = zip(row["item_ids"], row["scores"], strict=True)
    return [{"item_id": item_id, "score": score} for item_id, score in pairs]


def ranked_of(items: Sequence[RankedItem]) -> list[dict[str, Any]]:
    return [{"item_id": item.item_id, "score": item.score} for item in items]


def scored(run: Path, task: str, asked: Path, *more: object) -> pl.DataFrame:
    out = asked.parent / f"{asked.stem}-{task}"
    call("batch", run, "--task", task, "--users", asked, "--out", out, *more)
    return pl.read_parquet(out / "*.parquet")


def test_every_task_gives_the_personalizers_answers(
    run: Path, six: Six, users: list[str], tmp_path: Path
) -> None:
    from unimp.personalizer import load

    personalizer, items = load(run), six.dataset.catalog.item_ids
    asked = tmp_path / "asked.parquet"
    columns = {
        "user_id": users[:3],
        "item_id": items[:3],
        "text": ["bag", "red", "blue mug"],
        "candidates": [items[4:8], items[20:22], items[9:6:-1]],
        "count": [2, None, 1],
    }
    pl.DataFrame(columns).write_parquet(asked)
    found = scored(run, "search", asked, "-k", 3)
    assert found.columns == ["user_id", "text", "item_ids", "scores"]
    best = personalizer.search("bag", user=users[0], k=3).items
    close_rankings(ranked(found.row(0, named=True)), ranked_of(best))
    rated, forecast = scored(run, "rating", asked), personalizer.rate(items[1], user=users[1])
    assert rated["rating"][1] == pytest.approx(forecast.mean, abs=1e-3)
    assert rated["probabilities"][1].to_list() == pytest.approx(forecast.probabilities, abs=1e-3)
    said = scored(run, "explanation", asked)
    assert said["text"][2] == personalizer.explain(items[2], user=users[2]).text
    chosen = scored(run, "selection", asked)
    for row, (user, candidates, count) in enumerate(
        zip(users, columns["candidates"], (2, 1, 1), strict=False)
    ):
        answer = personalizer.select(candidates, count=count, user=user)
        assert chosen["chosen"][row].to_list() == list(answer.chosen)
        shares = [one.probability for one in answer.candidates]
        assert chosen["probabilities"][row].to_list() == pytest.approx(shares, abs=1e-3)


def test_users_that_the_data_do_not_know_come_with_their_history(
    run: Path, six: Six, users: list[str], tmp_path: Path
) -> None:
    from unimp.personalizer import load

    personalizer, items = load(run), six.dataset.catalog.item_ids
    pasts = [[items[3], items[5]], None, []]
    lists, table = tmp_path / "lists.parquet", tmp_path / "table.csv"
    named = ["new", users[1], "cold"]
    pl.DataFrame({"user_id": named, "history": pasts}).write_parquet(lists)
    found = scored(run, "recommendation", lists, "-k", 3)
    expected = [
        personalizer.recommend(history=pasts[0], k=3),
        personalizer.recommend(user=users[1], k=3),
        personalizer.recommend(history=[], k=3),
    ]
    assert found["item_ids"].to_list() == [[item.item_id for item in one.items] for one in expected]
    assert found["history"].to_list() == pasts
    table.write_text(f'user_id,history\nnew,"{items[3]}, {items[5]}"\n')
    again = scored(run, "recommendation", table, "-k", 3)
    assert again["item_ids"][0].to_list() == found["item_ids"][0].to_list()
    table.write_text("user_id,history\nnew,gone\nunknown,\n")
    with pytest.raises(DataError, match=r'table\.csv:2: unknown item "gone" in the history'):
        scored(run, "recommendation", table)
    table.write_text(f"user_id,history\nnew,{items[1]}.0\n")
    with pytest.raises(DataError, match=rf'unknown item "{items[1]}\.0" .*; the catalogue has "{items[1]}"'):
        scored(run, "recommendation", table)
    skipped = ["--skip-wrong", "--out", tmp_path / "x"]
    table.write_text(f"user_id,history\nunknown,\nnew,{items[1]}\n")
    call("batch", run, "--task", "recommendation", "--users", table, *skipped)
    assert 'give their history in a column ""history""' in (tmp_path / "x" / "skipped.csv").read_text()


def test_ids_with_commas_stay_whole_in_lists() -> None:
    table = pl.DataFrame({"user_id": ["u"], "history": [["a,b", "c"]], "one": [["d,e"]]})
    texts = table.select(as_text(table, "history"), as_text(table, "one"))
    assert listed_ids(texts["history"][0]) == ["a,b", "c"]
    assert listed_ids(texts["one"][0]) == ["d,e"]
    assert listed_ids("a, b,,c ") == ["a", "b", "c"]


def test_imagined_pictures_are_png_and_stay_the_same(
    run: Path, six: Six, users: list[str], tmp_path: Path
) -> None:
    asked = tmp_path / "asked.csv"
    pl.DataFrame({"user_id": users[:3], "text": ["bag", "red", "blue mug"]}).write_csv(asked)
    drawn = scored(run, "imagination", asked, "--seed", 7, "--shard", 2)
    tokenizer = six.artifacts.tokenizer
    assert tokenizer is not None
    for data in drawn["picture"]:
        assert Image.open(io.BytesIO(data)).size == (tokenizer.config.image_width, tokenizer.config.height)
    (tmp_path / "asked-imagination" / "part-00001.parquet").unlink()
    assert scored(run, "imagination", asked, "--seed", 7, "--shard", 2).equals(drawn)
    with pytest.raises(ConfigError, match="another seed"):
        scored(run, "imagination", asked, "--seed", 8, "--shard", 2)


@pytest.mark.parametrize(
    ("task", "row", "reason"),
    [
        ("recommendation", "nobody,,,,", 'unknown user "nobody": give their history in a column "history"'),
        ("recommendation", ",,,,", "user_id is missing"),
        ("rating", "USER,nope,,,", 'unknown item "nope"'),
        ("explanation", "USER,,,,", "item_id is missing"),
        ("search", 'USER,,"  ",,', "text is empty"),
        (
            "imagination",
            f"USER,,{'x' * 1001},,",
            f"text: has more than 1,000 letters (got '{'x' * 79}…)",
        ),
        ("selection", 'USER,,,",",', "candidates: give 1 to 1,000 different items (got 0)"),
        ("selection", 'USER,,,"ITEM,nope",', 'unknown item "nope"'),
        ("selection", 'USER,,,"ITEM,OTHER",3', "count: must be 1 to 2, the number of candidates (got 3)"),
    ],
)
def test_a_wrong_line_is_named_or_left_out(
    run: Path, six: Six, users: list[str], tmp_path: Path, task: str, row: str, reason: str
) -> None:
    items = six.dataset.catalog.item_ids
    good = f'{users[0]},{items[0]},bag,"{items[0]},{items[1]}",1'
    wrong = row.replace("USER", users[1]).replace("ITEM", items[0]).replace("OTHER", items[1])
    asked, out = tmp_path / "asked.csv", tmp_path / "asked-out"
    asked.write_text("\n".join(["user_id,item_id,text,candidates,count", good, wrong, good, wrong]) + "\n")
    command = ["batch", run, "--task", task, "--users", asked, "--out", out]
    with pytest.raises(DataError) as caught:
        call(*command)
    first = f"{asked}:3: {reason} (2 wrong lines in all); mend it, or leave it out: --skip-wrong"
    assert str(caught.value) == first
    assert not out.exists()
    report = json.loads(call(*command, "--skip-wrong", "--json").stdout)
    assert (report["answered"], report["skipped"]) == (2, 2)
    skipped = pl.read_csv(out / "skipped.csv")
    assert skipped.to_dict(as_series=False) == {"line": [3, 5], "reason": [reason, reason]}
    assert pl.read_parquet(out / "*.parquet")["user_id"].to_list() == [users[0]] * 2


def test_mistakes(run: Path, users: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed, out = tmp_path / "users.csv", tmp_path / "out"

    def ask(task: str) -> None:
        call("batch", run, "--task", task, "--users", listed, "--out", out)

    with pytest.raises(ConfigError, match='did you mean "search"'):
        ask("serch")
    with pytest.raises(DataError, match="cannot be read"):
        ask("rating")
    listed.write_text("user_id\n")
    with pytest.raises(DataError, match="no users"):
        ask("recommendation")
    listed.write_text(f"user_id\n{users[0]}\n")
    with pytest.raises(DataError, match=r"column\(s\) missing for search: text"):
        ask("search")
    out.mkdir()
    (out / "mine").touch()
    with pytest.raises(ConfigError, match="not a batch folder"):
        ask("recommendation")
    monkeypatch.setattr(Personalizer, "tasks", ("rating",))
    with pytest.raises(ConfigError, match="trained without the task recommendation"):
        ask("recommendation")


def test_blank_lines_of_a_list_keep_the_count(run: Path, users: list[str], tmp_path: Path) -> None:
    listed = tmp_path / "users.txt"
    listed.write_text(f"{users[0]}\n\n  \nnobody\n")
    with pytest.raises(DataError, match=r"users.txt:4: unknown user"):
        scored(run, "recommendation", listed)


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
    mistyped = f"sqlite:///{tmp_path / 'stroe.db'}"
    with pytest.raises(ConfigError, match=r"stroe\.db: no such file; check the path"):
        call("serve", tmp_path / "nowhere", "--store", mistyped, "--store-must-exist")
