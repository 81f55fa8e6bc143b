"""Which results stand in the tables of README and docs/training.md, in which order and by which name.

A row of a next-item table: label, folder below results/, method, block, and perhaps values among its settings
that tell it from others (with "!" before: that must not be there). A row without a result file is left out.
"""

from __future__ import annotations

Row = tuple[str, ...]
ALONE = "models alone"

HM_ROWS = (
    ("UniMP with the learned ranker", "fusion/hm", "unimp", "learned fusion", "small-hm", "!128"),
    ("ItemKNN with recency, with the learned ranker", "fusion/hm", "itemknn-recency", "learned fusion"),
    ("EASE with the learned ranker", "fusion/hm", "ease", "learned fusion"),
    (
        "UniMP, the paper's objective, with the learned ranker",
        "fusion/hm",
        "unimp",
        "learned fusion",
        "paper-hm",
    ),
    (
        "UniSRec with the learned ranker, best of the paper's sixteen",
        "fusion/hm",
        "unisrec",
        "learned fusion",
    ),
    ("features only, learned ranker (no neural network)", "fusion/hm", "features", "learned fusion"),
    (
        "UniMP, distilled from trees and refitted, with closed-form weights",
        "fusion/hm",
        "unimp",
        "closed fusion, refitted methods",
        "distilled-hm-trees",
    ),
    (
        "SASRec, distilled from trees and refitted, with closed-form weights",
        "fusion/hm",
        "sasrec",
        "closed fusion, refitted methods",
        "trees",
    ),
    (
        "GRU4Rec, refitted, with closed-form weights",
        "fusion/hm",
        "gru4rec",
        "closed fusion, refitted methods",
    ),
    ("GRU4Rec with closed-form weights", "fusion/hm", "gru4rec", "closed fusion"),
    ("features only, closed-form weights", "fusion/hm", "features", "closed fusion"),
    ("UniMP with closed-form weights", "fusion/hm", "unimp", "closed fusion", "small-hm", "!128"),
    ("UniMP with its own closed-form mixture (TF-IDF)", "hm", "unimp", "a method's own mixture"),
    (
        "UniMP alone, distilled from trees (TF-IDF)",
        "fusion/hm",
        "unimp",
        ALONE,
        "distilled-hm-trees",
        "!128",
    ),
    ("SASRec alone, distilled from trees", "fusion/hm", "sasrec", ALONE, "trees"),
    ("ItemKNN with recency alone", "hm", "itemknn-recency", ALONE),
    ("EASE alone", "hm", "ease", ALONE),
    ("UniMP alone, likeness head, no teacher", "fusion/hm", "unimp", ALONE, "small-hm", "128"),
    ("UniMP alone, without a teacher (TF-IDF)", "fusion/hm", "unimp", ALONE, "small-hm", "!128"),
    ("LightGCN alone, best of the paper's sixteen", "hm", "lightgcn", ALONE),
    ("UniMP alone, the paper's objective, three tasks", "fusion/hm", "unimp", ALONE, "paper-hm"),
    ("SASRec alone", "hm", "sasrec", ALONE),
)
BEAUTY = "fusion/beauty"
CLOSED_AGAIN, LEARNED_AGAIN = "closed fusion, refitted methods", "learned fusion, refitted methods"
BEAUTY_ROWS = (
    ("BSARec, refitted, with the learned ranker", BEAUTY, "bsarec", LEARNED_AGAIN, "end"),
    ("UniMP, refitted, with the learned ranker", BEAUTY, "unimp", LEARNED_AGAIN, "small-beauty"),
    (
        "UniMP, filter, averaged, refitted, with the learned ranker",
        BEAUTY,
        "unimp",
        LEARNED_AGAIN,
        "filtered-beauty",
    ),
    ("WEARec, refitted, with the learned ranker", BEAUTY, "wearec", LEARNED_AGAIN, "end"),
    ("SASRec, refitted, with the learned ranker", BEAUTY, "sasrec", LEARNED_AGAIN, "!trees"),
    ("features only, learned ranker (no neural network)", BEAUTY, "features", "learned fusion"),
    ("BSARec with the learned ranker", BEAUTY, "bsarec", "learned fusion", "end", "!trees"),
    ("UniMP with the learned ranker", BEAUTY, "unimp", "learned fusion", "small-beauty"),
    (
        "UniMP, filter, averaged, with the learned ranker",
        BEAUTY,
        "unimp",
        "learned fusion",
        "filtered-beauty",
    ),
    (
        "UniMP, the paper's objective, with the learned ranker",
        BEAUTY,
        "unimp",
        "learned fusion",
        "paper-beauty",
    ),
    ("SASRec with the learned ranker", BEAUTY, "sasrec", "learned fusion", "!trees"),
    (
        "UniMP, filter, averaged, refitted, with closed-form weights",
        BEAUTY,
        "unimp",
        CLOSED_AGAIN,
        "filtered-beauty",
    ),
    ("UniMP, refitted, with closed-form weights", BEAUTY, "unimp", CLOSED_AGAIN, "small-beauty"),
    ("WEARec, refitted, with closed-form weights", BEAUTY, "wearec", CLOSED_AGAIN, "end"),
    ("BSARec, refitted, with closed-form weights", BEAUTY, "bsarec", CLOSED_AGAIN, "end"),
    (
        "UniMP on SmolLM2-135M with closed-form weights",
        "backbones/compact-sentences-beauty",
        "unimp",
        "closed fusion",
    ),
    (
        "UniMP, the paper's objective, with closed-form weights",
        BEAUTY,
        "unimp",
        "closed fusion",
        "paper-beauty",
    ),
    ("BSARec with closed-form weights", BEAUTY, "bsarec", "closed fusion", "end", "!trees", "!0.995"),
    ("BSARec, averaged, with closed-form weights", BEAUTY, "bsarec", "closed fusion", "0.995"),
    ("WEARec with closed-form weights", BEAUTY, "wearec", "closed fusion", "end"),
    (
        "UniMP, filter, averaged, with closed-form weights",
        BEAUTY,
        "unimp",
        "closed fusion",
        "filtered-beauty",
    ),
    ("UniMP with closed-form weights", BEAUTY, "unimp", "closed fusion", "small-beauty"),
    ("features only, closed-form weights", BEAUTY, "features", "closed fusion"),
    ("UniMP alone, distilled from trees (TF-IDF)", BEAUTY, "unimp", ALONE, "distilled-beauty"),
    ("BSARec alone, distilled from trees", BEAUTY, "bsarec", ALONE, "trees"),
    ("SASRec alone, distilled from trees", BEAUTY, "sasrec", ALONE, "trees"),
    ("WEARec alone", BEAUTY, "wearec", ALONE, "end"),
    ("UniMP alone, without a teacher (TF-IDF)", BEAUTY, "unimp", ALONE, "small-beauty"),
    ("UniMP alone, filter, averaged, no teacher", BEAUTY, "unimp", ALONE, "filtered-beauty"),
    ("BSARec alone", "beauty", "bsarec", ALONE, "end"),
    ("BSARec alone, averaged", BEAUTY, "bsarec", ALONE, "0.995"),
    ("SASRec alone", "beauty", "sasrec", ALONE, "end"),
    ("UniMP alone, the paper's objective, three tasks", BEAUTY, "unimp", ALONE, "paper-beauty"),
)

DISTILLED_HM_ROWS = (
    ("UniMP, teacher with trees", "fusion/hm", "unimp", ALONE, "distilled-hm-trees", "!128"),
    ("SASRec, teacher with trees", "fusion/hm", "sasrec", ALONE, "trees"),
    ("SASRec, linear teacher", "fusion/hm", "sasrec", ALONE, "0.9", "!trees"),
    ("UniMP, linear teacher", "fusion/hm", "unimp", ALONE, "distilled-hm"),
    ("ItemKNN with recency", "hm", "itemknn-recency", ALONE),
    ("EASE", "hm", "ease", ALONE),
    ("UniMP, no teacher, likeness head", "fusion/hm", "unimp", ALONE, "small-hm", "128"),
    ("UniMP, no teacher", "fusion/hm", "unimp", ALONE, "small-hm", "!128"),
    ("SASRec, no teacher", "hm", "sasrec", ALONE),
)
DISTILLED_BEAUTY_ROWS = (
    ("UniMP, teacher with trees", BEAUTY, "unimp", ALONE, "distilled-beauty"),
    ("BSARec, teacher with trees", BEAUTY, "bsarec", ALONE, "trees"),
    ("SASRec, teacher with trees", BEAUTY, "sasrec", ALONE, "trees"),
    ("BSARec", "beauty", "bsarec", ALONE, "end"),
    ("WEARec", BEAUTY, "wearec", ALONE, "end"),
    ("UniMP, no teacher", BEAUTY, "unimp", ALONE, "small-beauty"),
    ("UniMP, no teacher, filter", BEAUTY, "unimp", ALONE, "filtered-beauty"),
    ("SASRec, no teacher", "beauty", "sasrec", ALONE, "end"),
)

MULTITASK_ROWS = (
    ("MovieLens", "movies", "search", "NDCG@5", "BM25"),
    ("MovieLens", "movies", "search", "satisfied@5", "BM25"),
    ("MovieLens", "movies", "rating", "RMSE", "biased MF"),
    ("MovieLens", "movies", "rating", "RMSE", "closed form, no model"),
    ("MovieLens", "movies", "selection", "accuracy", "popularity"),
    ("H&M", "hm", "search", "NDCG@5", "BM25"),
    ("H&M", "hm", "search", "satisfied@5", "BM25"),
    ("H&M", "hm", "selection", "accuracy", "content (text)"),
    ("H&M", "hm", "imagination", "FID", "without history"),
    ("H&M", "hm", "imagination", "agreement", "without history"),
    ("H&M", "hm", "imagination", "agreement-colour_group_name", "nearest real picture"),
    ("H&M", "hm", "imagination", "agreement-product_type_name", "nearest real picture"),
    ("Instruments", "instruments", "rating", "RMSE", "biased MF"),
    ("Instruments", "instruments", "rating", "RMSE", "closed form, no model"),
    ("Instruments", "instruments", "explanation", "ROUGE-L", "template"),
    ("Instruments", "instruments", "explanation", "ROUGE-L", "retrieved sentence"),
    ("Instruments", "instruments", "explanation", "BLEU-1", "retrieved sentence"),
    ("Instruments", "instruments", "explanation", "BLEU-4", "retrieved sentence"),
)
"""Set, file below results/multitask/, task, metric, the best simple reference."""
