from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.csv_shop import import_from, jpeg
from unimp.core.errors import DataError

MOVIES = """movieId,title,genres
1,Toy Story (1995),Adventure|Comedy
2,"American President, The (1995)",(no genres listed)
3,Babylon 5,Sci-Fi
"""
RATINGS = """userId,movieId,rating,timestamp
1,1,4.5,100
1,3,4.0,90
1,2,0.5,100
2,1,5.0,7
"""


def latest(folder: Path) -> Path:
    folder.mkdir()
    (folder / "movies.csv").write_text(MOVIES)
    (folder / "ratings.csv").write_text(RATINGS)
    (folder / "tags.csv").write_text("userId,movieId,tag,timestamp\n1,1,toys,101\n9,1,stranger,5\n")
    return folder


def test_latest(tmp_path: Path) -> None:
    folder = latest(tmp_path / "ml")
    (folder / "details.csv").write_text(
        "movieId,title,overview,omdb_plot,director,actors\n"
        '1,x,,A cowboy doll.,John Lasseter,"Tom Hanks, Tim Allen"\n2,x,Words.,Other.,,\n'
    )
    (folder / "posters").mkdir()
    (folder / "posters" / "1.jpg").write_bytes(jpeg())
    dataset = import_from("movielens", folder, tmp_path / "out", k_core=0)
    assert dataset.catalog.item(0).attributes == {
        "title": "Toy Story",
        "year": "1995",
        "genres": "Adventure, Comedy",
        "director": "John Lasseter",
        "actors": "Tom Hanks, Tim Allen",
        "overview": "A cowboy doll.",
    }
    assert dataset.catalog.item(1).attributes == {
        "title": "The American President",
        "year": "1995",
        "overview": "Words.",
    }
    assert dataset.catalog.item(2).attributes == {"title": "Babylon 5", "genres": "Sci-Fi"}
    assert dataset.catalog.picture_references == ["1.jpg", None, None]
    log = dataset.interactions.histories
    assert log.items_of(0).tolist() == [2, 0, 1]
    assert log.ratings.tolist() == [4.0, 4.5, 0.5, 5.0]
    assert dataset.queries is not None
    assert dataset.queries.rows() == [("1", 0, 101, "toys")]
    assert dataset.manifest.counts["queries_dropped"] == 1
    scale = dataset.interactions.rating_scale
    assert scale is not None
    assert scale.levels == [0.5 * level for level in range(1, 11)]


def test_1m(tmp_path: Path) -> None:
    (tmp_path / "movies.dat").write_bytes(
        "1::Les Misérables (1995)::Drama|Musical\n2::X::Drama\n3::Y::Drama\n".encode("latin-1")
    )
    (tmp_path / "ratings.dat").write_text("1::1::5::30\n1::2::3::20\n1::3::1::10\n")
    dataset = import_from("movielens", tmp_path, tmp_path / "out", k_core=0)
    assert dataset.catalog.item(0).attributes == {
        "title": "Les Misérables",
        "year": "1995",
        "genres": "Drama, Musical",
    }
    assert dataset.interactions.histories.ratings.tolist() == [1, 3, 5]
    (tmp_path / "ratings.dat").write_text("1::1::4.5::30\n")
    with pytest.raises(DataError, match=r'^ratings\.dat:1: rating is outside its scale: "4\.5"'):
        import_from("movielens", tmp_path, tmp_path / "other")


def test_100k(tmp_path: Path) -> None:
    flags = "|".join("1" if position in (1, 5) else "0" for position in range(19))
    none = "|".join(["1"] + ["0"] * 18)
    (tmp_path / "u.item").write_text(
        f"1|Amélie (2001)|01-Jan-2001||http://x|{flags}\n2|Two (1996)|||http://y|{none}\n3|Three|||z|{none}\n",
        encoding="latin-1",
    )
    (tmp_path / "u.data").write_text("196\t1\t3\t881250949\n196\t2\t4\t881250950\n196\t3\t4\t881250951\n")
    dataset = import_from("movielens", tmp_path, tmp_path / "out", k_core=0)
    assert dataset.catalog.item(0).attributes["genres"] == "Action, Comedy"
    assert "genres" not in dataset.catalog.item(1).attributes
    assert dataset.catalog.item(0).attributes["title"] == "Amélie"


def test_another_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no ratings\.csv, ratings\.dat or u\.data"):
        import_from("movielens", tmp_path, tmp_path / "out")


@pytest.mark.data
def test_the_5_core_has_the_benchmarks_counts(shared_data: Path, tmp_path: Path) -> None:
    dataset = import_from("movielens", shared_data / "movies", tmp_path / "out", check_pictures="none")
    counts = dataset.manifest.counts
    assert (counts["users"], counts["items"], counts["events"]) == (610, 3_650, 90_274)
    assert counts["queries"] + counts["queries_dropped"] == 3_683
    assert counts["pictures_missing"] < 225


def test_10m_has_half_stars_and_tags(tmp_path: Path) -> None:
    folder = tmp_path / "ml-10M100K"
    folder.mkdir()
    (folder / "movies.dat").write_text("1::Toy Story (1995)::Animation|Comedy\n2::Heat (1995)::Crime\n")
    (folder / "ratings.dat").write_text("7::1::3.5::30\n7::2::5::20\n7::1::0.5::40\n")
    (folder / "tags.dat").write_text("7::1::pixar::50\n8::2::heist::60\n")
    dataset = import_from("movielens", folder, tmp_path / "out", k_core=0)
    assert dataset.interactions.histories.ratings.tolist() == [5.0, 3.5, 0.5]
    scale = dataset.interactions.rating_scale
    assert scale is not None
    assert (scale.low, scale.step) == (0.5, 0.5)
    assert dataset.queries is not None
    assert dataset.queries.rows() == [("7", 0, 50, "pixar")]


@pytest.mark.parametrize(("encoding", "noted"), [("utf-8", False), ("latin-1", True)])
def test_dat_files_are_utf8_or_else_latin_1(tmp_path: Path, encoding: str, noted: bool) -> None:
    movies = "1::Amélie (2001)::Comedy\n2::Été (1999)::Drama\n3::Heat (1995)::Crime\n"
    (tmp_path / "movies.dat").write_bytes(movies.encode(encoding))
    (tmp_path / "ratings.dat").write_text("".join(f"u::{i}::5::97830{i}000\n" for i in (1, 2, 3)))
    dataset = import_from("movielens", tmp_path, tmp_path / "out", k_core=0)
    assert dataset.catalog.texts["title"] == ["Amélie", "Été", "Heat"]
    assert any("movies.dat is not UTF-8" in note for note in dataset.manifest.notes) == noted
