"""How generated texts compare with written ones, how varied they are, and whether what they name is true."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from unimp.core.errors import UnimpError
from unimp.metrics.scored import mean_or_nan

ROUGES = {"ROUGE-1": "rouge1", "ROUGE-2": "rouge2", "ROUGE-L": "rougeL"}
WORD = re.compile(r"[^\W_]+")


def text_metrics(
    texts: Sequence[str],
    references: Sequence[str],
    true_phrases: Sequence[Iterable[str]] | None = None,
    foreign_phrases: Sequence[Iterable[str]] | None = None,
) -> dict[str, float]:
    """BLEU-1…4, ROUGE-1/2/L, distinct-1/2 as fractions, and what is named (only where phrases are given).

    A case with an empty text or reference is unscored: left out of every metric, and counted in `unscored` as
    a share. All metrics are NaN when nothing is scored. UnimpError when the lengths differ.
    """
    for name, given in (("references", references), ("true", true_phrases), ("foreign", foreign_phrases)):
        if given is not None and len(given) != len(texts):
            raise UnimpError(f"texts: {len(texts)} texts for {len(given)} {name}")
    scored = [case for case, text in enumerate(texts) if text.strip() and references[case].strip()]
    kept = [texts[case] for case in scored]
    metrics = bleu(kept, [references[case] for case in scored])
    metrics |= rouge(kept, [references[case] for case in scored])
    metrics |= {f"distinct-{order}": distinct(kept, order) for order in (1, 2)}
    if true_phrases is not None:
        metrics["names-attribute"] = share_naming(kept, [true_phrases[case] for case in scored])
    if foreign_phrases is not None:
        metrics["names-foreign"] = share_naming(kept, [foreign_phrases[case] for case in scored])
    return metrics | {"unscored": 1.0 - len(scored) / max(1, len(texts))}


def bleu(texts: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Corpus BLEU-n (Papineni et al. 2002; sacrebleu, 13a tokens, exponential smoothing), small letters."""
    from sacrebleu.metrics.bleu import BLEU

    if not texts:
        return {f"BLEU-{order}": float("nan") for order in range(1, 5)}
    return {
        f"BLEU-{order}": BLEU(lowercase=True, max_ngram_order=order)
        .corpus_score(list(texts), [list(references)])
        .score
        / 100.0
        for order in range(1, 5)
    }


def rouge_l(texts: Sequence[str], references: Sequence[str]) -> list[float]:
    """Each text's F of ROUGE-L; NaN where the text or its reference is empty."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"])
    return [
        scorer.score(reference, text)["rougeL"].fmeasure
        if text.strip() and reference.strip()
        else float("nan")
        for text, reference in zip(texts, references, strict=True)
    ]


def rouge(texts: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Mean F of ROUGE-1, -2 and -L (Lin 2004; rouge-score, no stemming)."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(list(ROUGES.values()))
    scores = [scorer.score(reference, text) for text, reference in zip(texts, references, strict=True)]
    return {name: mean_or_nan([score[key].fmeasure for score in scores]) for name, key in ROUGES.items()}


def distinct(texts: Sequence[str], order: int) -> float:
    """Different runs of `order` (1 or 2) words over all of them (Li et al. 2016); NaN when there is none."""
    runs: list[tuple[str, ...]] = []
    for text in texts:
        words = WORD.findall(text.lower())
        runs.extend(pairwise(words) if order == 2 else zip(words, strict=True))
    return len(set(runs)) / len(runs) if runs else float("nan")


def share_naming(texts: Sequence[str], phrases: Sequence[Iterable[str]]) -> float:
    """The share of texts that name one of their own phrases; NaN without texts."""
    return mean_or_nan([float(names(text, own)) for text, own in zip(texts, phrases, strict=True)])


def names(text: str, phrases: Iterable[str]) -> bool:
    """Whether one of the phrases stands in the text as whole words, whatever the case and punctuation."""
    said = f" {' '.join(WORD.findall(text.lower()))} "
    wanted = (" ".join(WORD.findall(phrase.lower())) for phrase in phrases)
    return any(phrase and f" {phrase} " in said for phrase in wanted)
