from __future__ import annotations

import polars as pl
import pytest

from unimp.data.texts import flat_names, plain_text, split_terms


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("red|blue", ["red", "blue"]),
        ("|red||  |blue|", ["red", "blue"]),
        ("red|NULL|nan| - |None", ["red"]),
        ("red, dark|blue", ["red, dark", "blue"]),
        ('["red, dark", "blue"]', ["red, dark", "blue"]),
        ("['red', 'blue', None]", ["red", "blue"]),
        ('[["Home", "Kitchen"], ["Home"]]', ["Home", "Kitchen"]),
        ("red|blue|red", ["red", "blue"]),
        ('"[\\"red, dark\\", \\"blue\\"]"', ["red, dark", "blue"]),  # a list written as text twice
        ("['red' 'blue, \"dark\"']", ["red", 'blue, "dark"']),  # an array of numpy
        ("('red', 'blue')", ["red", "blue"]),
        ("{'red', 'blue'}", ["blue", "red"]),
        ("(red, blue)", ["(red, blue)"]),
        ('[{"id": 3, "name": "Red, dark"}, {"id": 4, "name": "Blue"}]', ["Red, dark", "Blue"]),
        ("[{'id': 3, 'name': 'Red'}]", ["Red"]),
        ('[{"id": 3}]', ['[{"id": 3}]']),
        ('{Home,"Garden, Tools","a \\"b\\"",NULL}', ["Home", "Garden, Tools", 'a "b"']),
        ('{"id": 3}', ['{"id": 3}']),
        ("{}", None),
        ("[...]", ["[...]"]),
        ("[not a list]", ["[not a list]"]),
        ("[]", None),
        ("||", None),
        ("-", None),
        (None, None),
    ],
)
def test_terms_of_a_field(cell: str | None, expected: list[str] | None) -> None:
    assert split_terms(pl.Series([cell, "x"], dtype=pl.String), "|").to_list() == [expected, ["x"]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<p>Soft &amp; warm</p><br/>wool", "Soft & warm wool"),
        ("two.  Blanks &amp; more", "two.  Blanks & more"),
        ("a < b and c > d", "a < b and c > d"),
        ("&lt;b&gt;bold&lt;/b&gt;", "bold"),
        ("<style>p {color: red}</style>Plain<!-- note --> text", "Plain text"),
        ("5&quot; pipe &#39;x&#39;", "5\" pipe 'x'"),
        ("<![CDATA[Soft <b>wool</b>]]>", "Soft wool"),
        ("AT&T; R&D", "AT&T; R&D"),
        ("<p></p>", None),
        ("plain", "plain"),
        (None, None),
    ],
)
def test_markup_is_no_text(text: str | None, expected: str | None) -> None:
    assert plain_text(pl.Series("t", ["other", text], dtype=pl.String)).to_list() == ["other", expected]


def test_names_in_a_text_that_is_a_list() -> None:
    assert flat_names('["Music", "Guitars & Basses"]') == ["Music", "Guitars & Basses"]
    assert flat_names(["Music", ["Guitars"], None, 7]) == ["Music", "Guitars", "7"]
    assert flat_names("Music") == ["Music"]
