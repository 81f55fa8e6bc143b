"""What a cell of pictures says: one or several files or web addresses; and where such a file lies."""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from unimp.data.pictures import ENDINGS, PictureSource
from unimp.data.texts import parse_literal

WEB = re.compile(r"https?://", re.IGNORECASE)
BETWEEN = re.compile(r"\s*[|;\n]\s*|\s*,\s*(?=https?://)|\s+(?=https?://)|,\s+", re.IGNORECASE)
"""Between two pictures of one cell; a comma within a name or an address has no blank behind it."""


IMAGE_TAG = re.compile(r"<img\b[^>]*?\bsrc\s*=\s*[\"']?([^\"'\s>]+)", re.IGNORECASE)
WITHOUT_SCHEME = re.compile(r"(?<![^\s|;,])//(?=[\w-]+(?:\.[\w-]+)+/)")
"""`//cdn.shop.example/a.png`, as pages write addresses."""


PICTURE_KEYS = ("hi_res", "large", "original", "src", "url", "href", "image", "path", "file", "name")
"""Keys under which an object has its picture, the best first."""
DRIVE = re.compile(r"[a-zA-Z]:/")


def is_web(reference: str) -> bool:
    return WEB.match(reference) is not None


def is_picture_name(text: str) -> bool:
    """Whether a name or an address has the ending of a picture, blanks in it aside."""
    try:
        path = urlsplit(text).path if is_web(text) else text
    except ValueError:
        return False
    return PurePosixPath(path.lower()).suffix in ENDINGS and ("/" in text or " " not in text)


def address_stem(address: str) -> str:
    """A file name for an address: the same address has the same one in every run."""
    return sha256(address.encode()).hexdigest()[:24]


def split_cell(text: str) -> list[str]:
    """The pictures of a cell, in order and each once: a JSON list, or parted as people do."""
    text = text.strip()
    if IMAGE_TAG.search(text):
        return once(html.unescape(address) for address in IMAGE_TAG.findall(text))
    if text.startswith(("[", "{")):
        listed = parse_literal(text)
        if isinstance(listed, list | dict):
            return once(listed_names(listed))
    text = WITHOUT_SCHEME.sub("https://", text)
    if WEB.search(text):
        text = html.unescape(text)  # an address from a page has &amp;, whose semicolon parts nothing
    return once(name for part in BETWEEN.split(text) for name in by_commas(part))


def listed_names(value: Any) -> Iterator[str]:
    """The pictures in a list; of an object, as interfaces give pictures, the largest."""
    if isinstance(value, list):
        for part in value:
            yield from listed_names(part)
    elif isinstance(value, dict):
        yield from listed_names(next((value[key] for key in PICTURE_KEYS if value.get(key)), None))
    elif value:
        yield str(value)


def by_commas(part: str) -> list[str]:
    """`a.png,b.png` is two; a name with a comma in it, or an address, is one."""
    pieces = part.split(",")
    names = all(PurePosixPath(piece.strip().lower()).suffix in ENDINGS for piece in pieces)
    return pieces if names and not is_web(part) else [part]


def once(parts: Iterator[str]) -> list[str]:
    return list(dict.fromkeys(stripped for part in parts if (stripped := part.strip())))


def small(name: str) -> str:
    """A name as all spellings of it share it: small letters, accents as one sign (macOS parts them)."""
    return unicodedata.normalize("NFC", name).lower()


class PictureFinder:
    """Finds what a table calls a picture, by the pictures' folder or zip or by the folder of the table."""

    def __init__(self, source: PictureSource) -> None:
        self.source = source
        self.is_folder = source.path.is_dir()

    @cached_property
    def names(self) -> set[str]:
        return self.source.names()

    @cached_property
    def by_small_name(self) -> dict[str, str]:
        """Names in small letters -> as they are; the last part alone stands for the one file that has it."""
        whole = {small(name): name for name in sorted(self.names, reverse=True)}
        last = [(PurePosixPath(name).name, name) for name in whole]
        count = Counter(short for short, _ in last)
        return {short: whole[name] for short, name in last if count[short] == 1} | whole

    @cached_property
    def by_stem(self) -> dict[str, str]:
        """Names without ending -> names."""
        return {PurePosixPath(name).stem: name for name in sorted(self.names, reverse=True)}

    def find(self, reference: str) -> str | None:
        """The member of the source that is meant; None where there is none."""
        if is_web(reference):
            return self.fetched(reference)
        for name in self.spellings(reference):
            if self.has(name):
                return name
        alike = (small(name) for name in self.spellings(reference))
        return next((self.by_small_name[name] for name in alike if name in self.by_small_name), None)

    def fetched(self, address: str) -> str | None:
        """The file that came from an address: as fetch-pictures calls it, else by the address's last part."""
        if (known := self.by_stem.get(address_stem(address))) is not None:
            return known
        try:
            name = PurePosixPath(unquote(urlsplit(address).path)).name
        except ValueError:
            return None
        return self.by_small_name.get(small(name)) if name else None

    def has(self, name: str) -> bool:
        return not self.source.missing([name]) if self.is_folder else name in self.names

    def spellings(self, reference: str) -> Iterator[str]:
        """As it is, unquoted, without the folder's own name, and with every usual ending."""
        plain = re.sub(r"^file:/+(?=/)", "", reference.replace("\\", "/"))
        for text in dict.fromkeys((plain, unquote(plain))):
            path = PurePosixPath(text)
            if path.is_absolute() or DRIVE.match(text):
                own = PurePosixPath(self.source.path.resolve().as_posix())
                # a path of another machine: only the file's name can be the same here
                path = path.relative_to(own) if path.is_relative_to(own) else PurePosixPath(path.name)
            shorter = PurePosixPath(*path.parts[1:]) if path.parts[:1] == (self.source.path.stem,) else path
            for place in dict.fromkeys((path, shorter)):
                if place.parts:
                    yield place.as_posix()
                    if place.suffix.lower() not in ENDINGS:
                        yield from (f"{place.as_posix()}{ending}" for ending in sorted(ENDINGS))


def lies_beside(source: PictureSource, reference: str) -> bool:
    """Whether a file of that name, seen from the table's folder, is there and in no folder above it."""
    folder = source.beside
    return folder is not None and PictureSource(folder).missing([reference]) == set()


def joined(source: PictureSource) -> tuple[PictureSource, str] | None:
    """The table's folder as a source, and what names of `source` begin with there; None if elsewhere."""
    folder: Path | None = source.beside
    if folder is None or not source.path.is_dir():
        return None
    own, outer = source.path.resolve(), folder.resolve()
    if not own.is_relative_to(outer):
        return None
    inner = own.relative_to(outer).as_posix()
    return PictureSource(folder), "" if inner == "." else f"{inner}/"
