"""The sentences of a review, and which of them a reader can stand."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

ABBREVIATIONS = {
    *("approx", "dr", "etc", "ft", "inc", "jr", "lb", "lbs", "mr", "mrs", "ms", "no", "oz", "sr"),
    "vs",
}
"""A full stop after one of these ends no sentence."""
HANGING = {
    *("a", "an", "and", "as", "at", "but", "by", "for", "from", "if", "of", "or", "than", "the", "to", "with")
}
"""A sentence does not end in one of these: it was cut."""
LEANING = {
    *("also", "and", "because", "besides", "but", "cons", "edit", "furthermore", "however", "nor", "or"),
    *("otherwise", "plus", "pros", "ps", "so", "then", "though", "update"),
}
"""A sentence that begins with one of these leans on what stands before it."""

TOKEN = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
SENTENCE_END = re.compile(r"(\.+|[!?]+)([\"')\]]*)(?:(\s+)|(?=[A-Z\"])|$)")
INITIAL = re.compile(r"(?<![\w'])[^\W\dI]$")
TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
GLUED = re.compile(r"[A-Za-z]{2}[.!?,;:)][A-Za-z]|:-|\b(?:[Pp]ros|[Cc]ons|PROS|CONS)\b|[a-z]I\b")
SITE = re.compile(
    r"https?:|www\.|\[\[|\b(?:asin|amazon|reviews?|reviewers?|reviewed|title says|stars?)\b", re.IGNORECASE
)
"""Speaks of the place of the review rather than of the item."""
ODD = str.maketrans(
    {"’": "'", "‘": "'", "`": "'", "“": '"', "”": '"', "…": "...", "\u200b": None, "\xa0": " "}
)


def tokens_of(text: str) -> list[str]:
    """Lower-case words; `don't` and `t-shirt` are one each."""
    return TOKEN.findall(text.translate(ODD).lower())


def clean_text(text: str) -> str:
    """Plain text: entities resolved, tags gone, quotes straight, one space, `!!!` as `!`."""
    plain = TAG.sub(" ", html.unescape(html.unescape(text))).translate(ODD)
    plain = re.sub(r"([!?])[!?]+", r"\1", plain)
    plain = re.sub(r"([,;:])\1+", r"\1", plain)
    plain = re.sub(r"\.{2,}|(?:\. ){2,}\.", "...", plain)
    return re.sub(r"\s+([,.;:!?])", r"\1", re.sub(r"\s+", " ", plain)).strip()


def split_sentences(text: str) -> list[str]:
    """The sentences of a clean text.

    A full stop ends none after an abbreviation or a single letter, nor does `...` before a small letter; one
    with a capital right behind it does.
    """
    sentences, start = [], 0
    for end in SENTENCE_END.finditer(text):
        before, after = text[start : end.start()].split(" ")[-1], text[end.end() : end.end() + 1]
        mark = end.group(1)
        if mark == "." and (before.lower() in ABBREVIATIONS or INITIAL.search(before)):
            continue
        if len(mark) > 1 and mark[0] == "." and after.islower():
            continue
        sentences.append(text[start : end.end()].strip())
        start = end.end()
    sentences.append(text[start:].strip())
    return [sentence for sentence in sentences if sentence]


def tidy(sentence: str) -> str:
    """Without a bullet before it or quotes and brackets around it; a capital first, a full stop last."""
    bare = re.sub(r"^(?:[-*•~>=#+.,;:)]+|\d+[).])\s*", "", sentence).strip()
    for opening, closing in ('""', "()", "''"):
        if bare.startswith(opening) and bare.endswith((closing, closing + ".")):
            bare = bare[1:].rstrip(".").removesuffix(closing)
    if bare and bare[-1] not in ".!?":
        bare += "."
    return bare[:1].upper() + bare[1:]


def reads_well(sentence: str) -> bool:
    """Whether a sentence stands alone: not shouted, asked, glued, cut, leaning on another, or of the site."""
    words = TOKEN.findall(sentence)
    if not words or sentence.endswith(("?", "...")) or GLUED.search(sentence) or SITE.search(sentence):
        return False
    if re.search(r"[,;:\-(/&]\s*[.!]$", sentence) or words[-1].lower() in HANGING:
        return False
    if sentence.count("(") != sentence.count(")") or sentence.count('"') % 2 or not sentence[0].isalnum():
        return False
    return words[0].lower() not in LEANING and not is_shouted(words)


def is_shouted(words: Iterable[str]) -> bool:
    """Two long words in capitals, or the only one."""
    long = [word for word in words if len(word) >= 4 and word.isalpha()]
    return sum(word.isupper() for word in long) >= max(1, min(2, len(long)))


def usable_summary(summary: str | None) -> str | None:
    """A summary of two words or more, tidy, a shouted one in small letters; no `Five stars`, no cut one."""
    text = clean_text(summary or "")
    words = TOKEN.findall(text)
    if len(words) < 2 or text.endswith("...") or SITE.search(text):
        return None
    return tidy(text.lower() if is_shouted(words) else text)
