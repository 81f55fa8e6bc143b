"""Which paired differences stand in docs/tables.md: every one that README speaks of."""

from __future__ import annotations

from dataclasses import dataclass

from table_rows import ALONE, BEAUTY, CLOSED_AGAIN, LEARNED_AGAIN, Row

HM = "fusion/hm"
CLOSED, LEARNED = "closed fusion", "learned fusion"
MOVIES = "movies-last-five"


@dataclass(frozen=True)
class Difference:
    """One row of the benchmark's tables less another, user by user."""

    of: Row
    over: Row
    metric: str
    seed: int | None = None
    """Of the first row this seed alone; None: every user's mean over all seeds."""


def ours(recipe: str, block: str, *, folder: str = HM, likeness: bool = False) -> Row:
    label = f"UniMP `{recipe}`{', likeness head' if likeness else ''}"
    return label, folder, "unimp", block, recipe, "128" if likeness else "!128"


def beauty(recipe: str, block: str) -> Row:
    return ours(recipe, block, folder=BEAUTY)


HM_FEATURES: Row = ("features only", HM, "features", LEARNED)
HM_FEATURES_CLOSED: Row = ("features only", HM, "features", CLOSED)
HM_UNISREC: Row = ("UniSRec", HM, "unisrec", LEARNED)
HM_TREES = ours("distilled-hm-trees", ALONE)
HM_LIKENESS = ours("small-hm", ALONE, likeness=True)
BEAUTY_FEATURES: Row = ("features only", BEAUTY, "features", LEARNED)
BEAUTY_AGAIN = beauty("small-beauty", LEARNED_AGAIN)
BEAUTY_SASREC_AGAIN: Row = ("SASRec", BEAUTY, "sasrec", LEARNED_AGAIN, "!trees")
BEAUTY_TREES = beauty("distilled-beauty", ALONE)
BEAUTY_PAPER = beauty("paper-beauty", CLOSED)
BEAUTY_SMOLLM2: Row = ("UniMP on SmolLM2-135M", "backbones/compact-sentences-beauty", "unimp", CLOSED)
BEAUTY_WEAREC: Row = ("WEARec", BEAUTY, "wearec", CLOSED, "end")
BEAUTY_BSAREC: Row = ("BSARec, positions from the end", "beauty", "bsarec", ALONE, "end")
BEAUTY_BSAREC_AGAIN: Row = ("BSARec", BEAUTY, "bsarec", LEARNED_AGAIN, "end")
BEAUTY_WEAREC_AGAIN: Row = ("WEARec", BEAUTY, "wearec", LEARNED_AGAIN, "end")
BEAUTY_BSAREC_CLOSED_AGAIN: Row = ("BSARec", BEAUTY, "bsarec", CLOSED_AGAIN, "end")
BEAUTY_BSAREC_CLOSED: Row = ("BSARec", BEAUTY, "bsarec", CLOSED, "end", "!trees", "!0.995")
BEAUTY_BSAREC_AVERAGED: Row = ("BSARec, averaged weights", BEAUTY, "bsarec", CLOSED, "0.995")
MOVIES_FEATURES: Row = ("features only", MOVIES, "features", LEARNED)

DIFFERENCES = (
    Difference(HM_TREES, ("ItemKNN with recency", "hm", "itemknn-recency", ALONE), "NDCG@5"),
    Difference(HM_TREES, ("SASRec taught by trees", HM, "sasrec", ALONE, "trees"), "NDCG@5", seed=0),
    Difference(
        ("SASRec, linear teacher", HM, "sasrec", ALONE, "0.9", "!trees"),
        ours("distilled-hm", ALONE),
        "NDCG@5",
    ),
    Difference(HM_LIKENESS, ours("small-hm", ALONE), "NDCG@5"),
    Difference(HM_LIKENESS, ("LightGCN", HM, "lightgcn", ALONE), "NDCG@5"),
    Difference(("GRU4Rec", HM, "gru4rec", CLOSED), HM_FEATURES_CLOSED, "NDCG@5"),
    Difference(ours("distilled-hm-trees", CLOSED_AGAIN), HM_FEATURES_CLOSED, "NDCG@5"),
    Difference(ours("small-hm", LEARNED), HM_FEATURES, "NDCG@5"),
    Difference(ours("small-hm", LEARNED), HM_UNISREC, "NDCG@5"),
    Difference(ours("paper-hm", LEARNED), HM_FEATURES, "NDCG@5"),
    Difference(ours("paper-hm", LEARNED), HM_UNISREC, "NDCG@5"),
    Difference(HM_UNISREC, HM_FEATURES, "NDCG@5"),
    Difference(("TIGER", HM, "tiger", LEARNED), HM_FEATURES, "NDCG@5"),
    Difference(BEAUTY_TREES, ("WEARec", BEAUTY, "wearec", ALONE, "end"), "NDCG@10"),
    Difference(BEAUTY_TREES, BEAUTY_BSAREC, "NDCG@10"),
    Difference(BEAUTY_BSAREC, ("BSARec, from the start", "beauty", "bsarec", ALONE, "!end"), "NDCG@10"),
    Difference(BEAUTY_BSAREC, beauty("small-beauty", ALONE), "NDCG@10"),
    Difference(beauty("filtered-beauty", ALONE), beauty("small-beauty", ALONE), "NDCG@10"),
    Difference(BEAUTY_BSAREC, beauty("filtered-beauty", ALONE), "NDCG@10"),
    Difference(beauty("filtered-beauty", CLOSED), beauty("small-beauty", CLOSED), "NDCG@10"),
    Difference(beauty("filtered-beauty", CLOSED), BEAUTY_BSAREC_CLOSED, "NDCG@10"),
    Difference(beauty("filtered-beauty", CLOSED), BEAUTY_WEAREC, "NDCG@10"),
    Difference(beauty("filtered-beauty", CLOSED), BEAUTY_BSAREC_AVERAGED, "NDCG@10"),
    Difference(BEAUTY_BSAREC_AVERAGED, BEAUTY_BSAREC_CLOSED, "NDCG@10"),
    Difference(
        ("BSARec, averaged weights", BEAUTY, "bsarec", ALONE, "0.995"),
        beauty("filtered-beauty", ALONE),
        "NDCG@10",
    ),
    Difference(
        ("SASRec, positions from the end", "beauty", "sasrec", ALONE, "end"),
        ("SASRec, from the start", "beauty", "sasrec", ALONE, "!end"),
        "NDCG@10",
    ),
    Difference(BEAUTY_TREES, ("SASRec taught by trees", BEAUTY, "sasrec", ALONE, "trees"), "NDCG@10"),
    Difference(BEAUTY_TREES, ("BSARec taught by trees", BEAUTY, "bsarec", ALONE, "trees"), "NDCG@10"),
    Difference(BEAUTY_SMOLLM2, BEAUTY_WEAREC, "NDCG@10"),
    Difference(BEAUTY_PAPER, beauty("small-beauty", CLOSED), "NDCG@10"),
    Difference(BEAUTY_PAPER, BEAUTY_WEAREC, "NDCG@10"),
    Difference(BEAUTY_PAPER, BEAUTY_BSAREC_CLOSED, "NDCG@10"),
    Difference(BEAUTY_SMOLLM2, BEAUTY_PAPER, "NDCG@10"),
    Difference(beauty("paper-beauty", LEARNED), BEAUTY_FEATURES, "NDCG@10"),
    Difference(BEAUTY_AGAIN, BEAUTY_FEATURES, "NDCG@10"),
    Difference(BEAUTY_SASREC_AGAIN, BEAUTY_FEATURES, "NDCG@10"),
    Difference(BEAUTY_AGAIN, BEAUTY_SASREC_AGAIN, "NDCG@10"),
    Difference(BEAUTY_BSAREC_AGAIN, BEAUTY_FEATURES, "NDCG@10"),
    Difference(BEAUTY_BSAREC_AGAIN, BEAUTY_AGAIN, "NDCG@10"),
    Difference(beauty("small-beauty", CLOSED_AGAIN), BEAUTY_BSAREC_CLOSED_AGAIN, "NDCG@10"),
    Difference(beauty("filtered-beauty", CLOSED_AGAIN), BEAUTY_BSAREC_CLOSED_AGAIN, "NDCG@10"),
    Difference(beauty("filtered-beauty", CLOSED_AGAIN), beauty("small-beauty", CLOSED_AGAIN), "NDCG@10"),
    Difference(
        beauty("filtered-beauty", CLOSED_AGAIN),
        ("WEARec", BEAUTY, "wearec", CLOSED_AGAIN, "end"),
        "NDCG@10",
    ),
    Difference(BEAUTY_WEAREC_AGAIN, BEAUTY_FEATURES, "NDCG@10"),
    Difference(BEAUTY_BSAREC_AGAIN, BEAUTY_WEAREC_AGAIN, "NDCG@10"),
    Difference(beauty("filtered-beauty", LEARNED_AGAIN), BEAUTY_FEATURES, "NDCG@10"),
    Difference(BEAUTY_BSAREC_AGAIN, beauty("filtered-beauty", LEARNED_AGAIN), "NDCG@10"),
    Difference(beauty("paper-beauty", LEARNED_AGAIN), BEAUTY_FEATURES, "NDCG@10"),
    Difference(beauty("paper-beauty", LEARNED_AGAIN), BEAUTY_AGAIN, "NDCG@10"),
    Difference(beauty("paper-beauty", CLOSED_AGAIN), beauty("small-beauty", CLOSED_AGAIN), "NDCG@10"),
    Difference(
        ours("small-movies", ALONE, folder=MOVIES),
        ("EASE", MOVIES, "ease", ALONE),
        "NDCG@5",
    ),
    Difference(ours("small-movies", LEARNED, folder=MOVIES), MOVIES_FEATURES, "NDCG@5"),
    Difference(ours("paper-movies", LEARNED, folder=MOVIES), MOVIES_FEATURES, "NDCG@5"),
)
