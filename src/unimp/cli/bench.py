"""`unimp bench`: judge methods on a data folder, and make the table from what was measured."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from unimp.core.errors import ConfigError, UnimpError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unimp.baselines import MethodEntry
    from unimp.evaluate.bench.jobs import Outcome
    from unimp.evaluate.bench.tries import Budget
    from unimp.fusion.config import FusionConfig


class Form(StrEnum):
    """How a table is written."""

    text = "text"
    markdown = "markdown"
    latex = "latex"


bench = typer.Typer(help="Compare methods by one judge: full catalogue, same cases, ranks kept per user.")


def register(app: typer.Typer) -> None:
    """Add the group to the command line."""
    app.add_typer(bench, name="bench", no_args_is_help=True)


def all_methods() -> dict[str, MethodEntry]:
    """The baselines, and UniMP itself: the benchmark never imports what it judges."""
    from unimp.baselines import METHODS, MethodEntry

    unimp = MethodEntry(
        "unimp.train.bench_method:UnimpMethod",
        "UniMP",
        "Wei et al., ICLR 2024",
        ("ids", "text", "image"),
        test="tests/train/test_method.py",
    )
    features = MethodEntry(
        "unimp.fusion.fused:FeaturesOnly",
        "Features only",
        "",
        ("ids", "text", "image", "attributes"),
        seeded=False,
        test="tests/fusion/test_fused.py",
    )
    return {**METHODS, "unimp": unimp, "features": features}


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def print_json(document: Any) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False))


@bench.command()
# One parameter per option makes it long; the body is short.
def run(
    data: Path = typer.Option(..., help="Data folder, made by `unimp data import`."),
    methods: str = typer.Option(..., help="Names, separated by commas; see `unimp bench methods`."),
    out: Path = typer.Option(..., help="Folder for the results; what is finished there is not done again."),
    seeds: int = typer.Option(1, min=1, help="Seeds 0, 1, … per method that draws random numbers."),
    settings: list[str] = typer.Option([], "--set", help="METHOD.KEY=VALUE, may be repeated."),
    tune: int = typer.Option(
        0, min=0, help="Settings that each method may try on validation, its own first; 0: no tuning."
    ),
    tune_minutes: float | None = typer.Option(
        None, help="With --tune: a method begins no further try after so many processor minutes of tries."
    ),
    fusion: str = typer.Option(
        "none", help="Second stages over a fitted method, separated by commas: none, closed, learned."
    ),
    refit_methods: bool = typer.Option(
        False,
        "--refit-methods",
        help="Under a fusion, rank by methods that learned once more with the validation items.",
    ),
    place_new_items: bool = typer.Option(
        False,
        "--place-new-items",
        help="Under a fusion, an item without events scores as the items most like it do.",
    ),
    split: str = typer.Option(
        "leave-one-out",
        help="leave-one-out, last-n (each user's last five), new-users, temporal or new-domain.",
    ),
    hold_out: str = typer.Option("", help="For new-domain: ATTRIBUTE=VALUE|VALUE, tested and never trained."),
    candidates: str = typer.Option("all", help="For new-domain: rank `all` items or the `held-out` alone."),
    keep_history: bool = typer.Option(False, "--keep-history", help="Do not mask a user's own history."),
    cutoffs: str = typer.Option("3,5,10", help="The k of HR@k, NDCG@k and MRR@k."),
    no_ids: bool = typer.Option(
        False,
        "--no-ids",
        help="Leave user and item ids out of the ranks: for data that may not be passed on.",
    ),
    text_encoder: str = typer.Option(
        "", help="Item text for methods by pretrained weights: package:minilm-l6, a folder or a hub id."
    ),
    vision_encoder: str = typer.Option(
        "", help="Item pictures likewise: package:efficientnet-lite0, a folder or a hub id."
    ),
    as_json: bool = typer.Option(False, "--json", help="One JSON document on standard output."),
    quiet: bool = typer.Option(False, "--quiet", help="No progress."),
) -> None:
    """Fit and judge methods; one result file per method, settings and seed."""
    # Long by its options, which typer reads from the signature; the work is in the functions below.
    from unimp.core.config import parse_overrides
    from unimp.data.dataset import Dataset
    from unimp.evaluate.bench.jobs import plan_jobs
    from unimp.evaluate.bench.protocol import BenchmarkProtocol
    from unimp.evaluate.bench.runner import run_jobs
    from unimp.features.for_methods import CatalogFeatures
    from unimp.features.vision.config import VisionConfig

    names = chosen_methods(methods)
    budget = tuning_budget(tune, tune_minutes)
    fusions = chosen_fusions(fusion, names, refit=refit_methods, place=place_new_items)
    dataset = Dataset.load(data)
    pictures = VisionConfig(encoder=vision_encoder, tokens=1, token_width=0) if vision_encoder else None
    features = CatalogFeatures(
        dataset.catalog, text_encoder=text_encoder, vision=pictures, show_progress=not quiet
    )
    rules = {
        "split": split,
        "features": features.described,
        "hold_out": hold_out,
        "candidates": candidates,
        "exclude_history": not keep_history,
        "cutoffs": [part.strip() for part in cutoffs.split(",")],
    }
    protocol = BenchmarkProtocol.parse(rules, "unimp bench run")
    jobs = plan_jobs(all_methods(), names, seeds=range(seeds), overrides=parse_overrides(settings))
    outcomes = run_jobs(
        dataset,
        jobs,
        out,
        protocol=protocol,
        budget=budget,
        with_ids=not no_ids,
        show_progress=not quiet,
        features=features,
        fusions=fusions,
        say=say,
    )
    if as_json:
        print_json([outcome_document(outcome) for outcome in outcomes])
    report_failures(outcomes)


def chosen_methods(names: str) -> list[str]:
    """The methods named; ConfigError on an unknown one, before any work is done."""
    from unimp.baselines import find_method

    chosen = [name.strip() for name in names.split(",") if name.strip()]
    if not chosen:
        raise ConfigError("--methods: name at least one; see `unimp bench methods`")
    for name in chosen:
        find_method(name, all_methods())
    return chosen


def chosen_fusions(
    kinds: str, methods: Sequence[str], *, refit: bool = False, place: bool = False
) -> list[FusionConfig]:
    """The second stages named; ConfigError on an unknown one, or where nothing would be left to rank by."""
    from unimp.core.errors import did_you_mean
    from unimp.fusion.config import KINDS, FusionConfig

    chosen = list(dict.fromkeys(kind.strip() for kind in kinds.split(",") if kind.strip()))
    for kind in chosen or [kinds]:
        if kind not in KINDS:
            raise ConfigError(f"--fusion: no fusion {kind!r}{did_you_mean(kind, KINDS)}")
    if "features" in methods and "none" in chosen:
        raise ConfigError("--fusion none: method features has no scores of its own; use closed or learned")
    if refit and chosen == ["none"]:
        raise ConfigError("--refit-methods: goes with --fusion closed or learned; alone, methods learn once")
    if place and chosen == ["none"]:
        raise ConfigError("--place-new-items: goes with --fusion closed or learned; alone, scores stand")
    further = {"refit_method": refit, "place_new_items": place}
    settings = [{"kind": kind} | ({} if kind == "none" else further) for kind in chosen]
    return [FusionConfig.parse(values, "--fusion") for values in settings]


def tuning_budget(tries: int, minutes: float | None) -> Budget | None:
    from unimp.evaluate.bench.tries import Budget

    if minutes is not None and not tries:
        raise ConfigError(f"--tune-minutes {minutes:g}: only with --tune N, the number of tries")
    return Budget.parse({"trials": tries, "minutes": minutes}, "--tune") if tries else None


def report_failures(outcomes: Sequence[Outcome]) -> None:
    """UnimpError that names every method without a result."""
    failed = [outcome for outcome in outcomes if outcome.path is None]
    if failed:
        reasons = dict.fromkeys(f"{outcome.job.method}: {outcome.problem}" for outcome in failed)
        raise UnimpError(f"{len(failed)} of {len(outcomes)} runs failed: {'; '.join(reasons)}")


def outcome_document(outcome: Outcome) -> dict[str, Any]:
    return {
        "method": outcome.job.method,
        "seed": outcome.job.seed,
        "fusion": outcome.fusion,
        "file": str(outcome.path) if outcome.path else None,
        "done_before": outcome.done_before,
        "problem": outcome.problem or None,
    }


@bench.command()
def table(
    folder: Path = typer.Argument(help="Result folder of `unimp bench run`."),
    as_json: bool = typer.Option(False, "--json", help="One JSON document on standard output."),
    html: Path | None = typer.Option(None, help="Write the report with plots to this file."),
    form: Form = typer.Option(Form.text, "--format", help="How the table is written."),
) -> None:
    """The table of a result folder: means over seeds, best marked, paired tests."""
    from unimp.evaluate.bench.present import as_document, as_text
    from unimp.evaluate.bench.publish import as_latex, as_markdown
    from unimp.evaluate.bench.table import build_table

    if as_json and form is not Form.text:
        raise ConfigError(f"--format {form}: not together with --json; leave one of them out")
    built = build_table(folder)
    if html is not None:
        from unimp.evaluate.bench.report import write_report

        write_report(built, html)
        say(f"report: {html}")
    if as_json:
        print_json(as_document(built))
    else:
        print({Form.text: as_text, Form.markdown: as_markdown, Form.latex: as_latex}[form](built))


@bench.command()
def methods(
    as_json: bool = typer.Option(False, "--json", help="One JSON document on standard output."),
) -> None:
    """The methods that `run` knows."""
    known = all_methods()
    if as_json:
        print_json(
            [
                {
                    "name": name,
                    "title": entry.title,
                    "paper": entry.paper or None,
                    "inputs": list(entry.inputs),
                    "seeded": entry.seeded,
                    "tests": entry.test,
                    "settings": entry.config().model_dump(mode="json"),
                    "tuned": {key: str(ends) for key, ends in entry.search_space().items()},
                }
                for name, entry in known.items()
            ]
        )
        return
    width = max(len(name) for name in known)
    title_width = max(len(entry.title) for entry in known.values())
    for name, entry in known.items():
        reads = "+".join(entry.inputs)
        print(f"{name.ljust(width)}  {entry.title.ljust(title_width)}  {reads:<12}  {entry.paper}".rstrip())
