"""`NearestId`: the known id that an unknown one most likely means."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u2060\ufeff]")
ROUNDED = re.compile(r"\d(?:[.,]\d+)?[eE]\+\d+")
"""An id of many digits as a spreadsheet shows it."""


def bare(item_id: str) -> str:
    """An id without what gets lost or added on the way: blanks, quotes, case, leading zeros, a final `.0`.

    Signs that are not seen are left out, and accents are one sign with their letter.
    """
    text = unicodedata.normalize("NFKC", INVISIBLE.sub("", item_id)).strip().strip("\"'").strip().casefold()
    text = text.removesuffix(".0")
    return text.lstrip("0") or text[:1]


class NearestId:
    """Finds ids that differ only in zeros, `.0`, blanks, quotes or case; indexed when first asked."""

    def __init__(self, known: Iterable[str]) -> None:
        self._known = known
        self._by_bare: dict[str, str] | None = None

    def find(self, item_id: str) -> str | None:
        if self._by_bare is None:
            self._by_bare = {}
            for known in self._known:
                self._by_bare.setdefault(bare(known), known)
        return self._by_bare.get(bare(item_id))

    def hint(self, item_id: str) -> str:
        """`; the catalogue has …`, with what to do about it."""
        found = self.find(item_id)
        if found is None and ROUNDED.fullmatch(item_id.strip()):
            return "; a spreadsheet rounded it: export the table again with its ids as text"
        if found is None:
            return "; check the id, or import the item first"
        near = f'; the catalogue has "{found}"'
        if found == item_id.lstrip("0"):
            return f"{near}, which lost a leading zero: keep its ids as text"
        if (
            item_id == found.lstrip("0")
            or item_id.removesuffix(".0") == found
            or found.removesuffix(".0") == item_id
        ):
            return f"{near}: read ids as text, not as numbers"
        return f"{near}: write the id alike in both tables"
