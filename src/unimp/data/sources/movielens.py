"""MovieLens: latest, 20M, 25M, 32M (`ratings.csv`), 1M and 10M (`ratings.dat`), 100k (`u.data`).

Posters, where there are any, are `posters/<movieId>.jpg` in a folder or in `posters.zip`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from unimp.core.errors import DataError
from unimp.data.catalog import Attribute
from unimp.data.interactions import RatingScale
from unimp.data.picture_check import find_pictures
from unimp.data.raw import BadRows, ImportOptions, RawTables, Rows
from unimp.data.reading import read_csv, read_fields, stream_csv, stream_fields
from unimp.data.values import ratings, seconds

WHOLE_STARS, HALF_STARS = RatingScale(1, 5, 1), RatingScale(0.5, 5, 0.5)
EVENT_COLUMNS = ("user_id", "item_id", "rating", "timestamp")
BASIC = (Attribute("title", "text"), Attribute("year", "number"), Attribute("genres", "categories"))
DETAILS = (
    Attribute("director", "categories"),
    Attribute("actors", "categories"),
    Attribute("overview", "text"),
)
GENRES_100K = (
    *("unknown", "Action", "Adventure", "Animation", "Children", "Comedy", "Crime", "Documentary", "Drama"),
    *("Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War"),
    "Western",
)
"""The flags of u.item, in order."""


class MovieLens:
    """Ratings in UTC seconds; several films rated in one second keep the order of the file."""

    def read(self, path: Path, options: ImportOptions, bad: BadRows, *, show_progress: bool) -> RawTables:
        if (path / "ratings.csv").exists():
            tables = read_latest(path, bad, show_progress)
        elif (path / "ratings.dat").exists():
            tables = read_1m(path, bad)
        elif (path / "u.data").exists():
            tables = read_100k(path, bad)
        else:
            raise DataError(f"{path}: has no ratings.csv, ratings.dat or u.data; give the unpacked folder")
        items, attributes, log, scale, queries = tables
        return RawTables(
            items,
            attributes,
            (ratings(seconds(rows, "timestamp", bad), "rating", scale, bad) for rows in log),
            title="title",
            rating_scale=scale,
            pictures=find_pictures(options.pictures, path, ("posters", "posters.zip")),
            queries=queries,
        )


Tables = tuple[Rows, tuple[Attribute, ...], Iterator[Rows], RatingScale, Rows | None]
"""Items, their attributes, the ratings part by part, their scale, and the tags."""


def read_latest(path: Path, bad: BadRows, show_progress: bool) -> Tables:
    user, item = {"userId": "user_id"}, {"movieId": "item_id"}
    columns = ("userId", "movieId", "rating", "timestamp")
    events = stream_csv(path / "ratings.csv", bad, required=columns, optional=(), show_progress=show_progress)
    movies = read_csv(path / "movies.csv", bad, required=("movieId", "title", "genres"))
    items = movies.frame.rename(item).with_columns(*title_and_year(), genres())
    attributes: tuple[Attribute, ...] = BASIC
    if (path / "details.csv").exists():
        details = read_csv(
            path / "details.csv", bad, required=("movieId", "overview", "omdb_plot", "director", "actors")
        )
        items = items.join(
            details.frame.select(
                pl.col("movieId").alias("item_id"),
                people("director"),
                people("actors"),
                # the second source's plot stands in where the first has no overview
                pl.coalesce("overview", "omdb_plot").alias("overview"),
            ).unique("item_id", keep="first"),
            on="item_id",
            how="left",
            maintain_order="left",
        )
        attributes += DETAILS
    queries = None
    if (path / "tags.csv").exists():
        tags = read_csv(path / "tags.csv", bad, required=("userId", "movieId", "tag", "timestamp"))
        queries = seconds(
            Rows(
                tags.file,
                tags.frame.rename(user | item | {"tag": "text"}).filter(pl.col("text").is_not_null()),
            ),
            "timestamp",
            bad,
        )
    return (
        Rows(movies.file, items),
        attributes,
        (Rows(rows.file, rows.frame.rename(user | item)) for rows in events),
        HALF_STARS,
        queries,
    )


def read_1m(path: Path, bad: BadRows) -> Tables:
    events = stream_fields(path / "ratings.dat", bad, EVENT_COLUMNS, "::", encoding="latin-1")
    movies = read_fields(path / "movies.dat", bad, ("item_id", "title", "genres"), "::", encoding="latin-1")
    items = movies.frame.with_columns(*title_and_year(), genres())
    tags = read_dat_tags(path, bad)
    scale = WHOLE_STARS if tags is None else HALF_STARS  # 10M has tags and half stars, 1M has neither
    return Rows(movies.file, items), BASIC, events, scale, tags


def read_dat_tags(path: Path, bad: BadRows) -> Rows | None:
    """The tags that 10M has, as queries."""
    if not (path / "tags.dat").exists():
        return None
    tags = read_fields(path / "tags.dat", bad, ("user_id", "item_id", "text", "timestamp"), "::")
    said = Rows(tags.file, tags.frame.filter(pl.col("text").is_not_null()))
    return seconds(said, "timestamp", bad)


def read_100k(path: Path, bad: BadRows) -> Tables:
    events = stream_fields(path / "u.data", bad, EVENT_COLUMNS, "\t", encoding="latin-1")
    columns = ("item_id", "title", "release", "video_release", "address", *GENRES_100K)
    movies = read_fields(path / "u.item", bad, columns, "|", encoding="latin-1")
    flags = [pl.when(pl.col(genre) == "1").then(pl.lit(genre)) for genre in GENRES_100K[1:]]
    items = movies.frame.with_columns(
        *title_and_year(), pl.concat_list(flags).list.drop_nulls().alias("genres")
    ).drop(columns[2:])
    return Rows(movies.file, items), BASIC, events, WHOLE_STARS, None


def title_and_year() -> tuple[pl.Expr, pl.Expr]:
    """`Matrix, The (1999)` as `The Matrix` and 1999."""
    title = pl.col("title").str.strip_chars()
    bare = title.str.replace(r"\s*\(\d{4}(?:[-–]\d{0,4})?\)$", "")
    return (
        bare.str.replace(r"^(.*), (The|A|An)$", "$2 $1").alias("title"),
        title.str.extract(r"\((\d{4})(?:[-–]\d{0,4})?\)$").cast(pl.Float64).alias("year"),
    )


def genres() -> pl.Expr:
    listed = pl.col("genres") != "(no genres listed)"
    return pl.when(listed).then(pl.col("genres").str.split("|")).alias("genres")


def people(column: str) -> pl.Expr:
    return pl.col(column).str.split(", ").alias(column)
