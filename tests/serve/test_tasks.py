"""Questions: the same answers as the personalizer gives, and the same words when something is wrong."""

from __future__ import annotations

import asyncio
import base64
import io
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.closeness import close
from tests.serve.site import MakeSite, Site
from unimp.core.errors import UnimpError
from unimp.personalizer import Personalizer


def picture(width: int = 20, height: int = 16, colour: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()


def test_recommend_is_the_personalizers(site: Site, personalizer: Personalizer) -> None:
    ids = personalizer.run.dataset.catalog.item_ids
    user = str(personalizer.run.dataset.interactions.histories.user_ids[3])
    close(site.ok("/v1/recommend", {"user": user, "k": 4}), asdict(personalizer.recommend(user=user, k=4)))
    for history in ([], ids[:3]):
        answer = site.ok("/v1/recommend", {"history": history})
        close(answer, asdict(personalizer.recommend(history)))
    many = ids[: len(ids) - 150]  # fewer than 200 others: some of them must be among 200
    again = site.ok("/v1/recommend", {"history": many, "k": 200, "exclude_history": False})
    assert set(many) & {item["item_id"] for item in again["items"]}


def test_search_by_words_and_by_picture(site: Site, personalizer: Personalizer) -> None:
    asked = {"history": [personalizer.run.dataset.catalog.item_ids[5]], "k": 3}
    close(site.ok("/v1/search", {**asked, "text": "bag"}), asdict(personalizer.search("bag", **asked)))
    file = picture()
    by_json = site.ok("/v1/search", {**asked, "picture": base64.b64encode(file).decode()})
    form = {"history": ",".join(asked["history"]), "k": "3"}
    by_form = site.post("/v1/search", data=form, files={"picture": ("a.png", file, "image/png")}).json()
    assert by_json == by_form
    assert by_json["has_picture"]
    close(by_json, asdict(personalizer.search(picture=file, **asked)))
    assert "words, a picture, or both" in site.refused(422, site.post("/v1/search", asked))
    assert site.refused(422, site.post("/v1/search", data={"k": "x", "text": "a"})).startswith("k: ")


def test_the_other_tasks_are_the_personalizers(site: Site, personalizer: Personalizer) -> None:
    ids = personalizer.run.dataset.catalog.item_ids
    history = ids[:4]
    close(
        site.ok("/v1/rate", {"history": history, "item": ids[9]}),
        asdict(personalizer.rate(ids[9], history=history)),
    )
    close(
        site.ok("/v1/explain", {"history": history, "item": ids[9]}),
        asdict(personalizer.explain(ids[9], history=history)),
    )
    close(
        site.ok("/v1/select", {"history": history, "candidates": ids[5:9], "count": 2}),
        asdict(personalizer.select(ids[5:9], count=2, history=history)),
    )
    drawn = site.ok("/v1/imagine", {"history": history, "text": "blue bag", "seed": 3, "count": 2})
    expected = personalizer.imagine("blue bag", history=history, seed=3, count=2).pictures
    assert len(drawn["pictures"]) == 2
    for sent, made in zip(drawn["pictures"], expected, strict=True):
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(sent))))
        np.testing.assert_array_equal(shown, made)


def test_mistakes_read_as_on_the_command_line(site: Site, personalizer: Personalizer) -> None:
    with pytest.raises(UnimpError) as caught:
        personalizer.recommend(["nope"])
    assert site.refused(422, site.post("/v1/recommend", {"history": ["nope"]})) == str(caught.value)

    def says(path: str, document: Any, status: int = 422) -> str:
        return site.refused(status, site.post(path, document))

    assert says("/v1/recommend", {"user": "a", "history": []}) == "give either a user or a history, not both"
    assert says("/v1/recommend", {"user": "a", "k": 0}).startswith("k: ")
    assert says("/v1/recommend", {"user": "a", "n": 3}).startswith("n: unknown field")
    assert says("/v1/recommend", {"user": "a\x00"}).startswith("user: ")
    assert 'unknown item "x"' in says("/v1/rate", {"user": "a", "item": "x"})
    assert says("/v1/nothing", {}, 404).startswith("there is nothing at /v1/nothing")
    json = {"content-type": "application/json"}
    broken = site.post("/v1/recommend", content=b'{"user": ', headers=json)
    assert site.refused(400, broken).startswith("body: not valid JSON")
    deep = site.post("/v1/recommend", content=b"[" * 100_000, headers=json)
    assert deep.status_code == 400
    surrogate = site.post("/v1/recommend", content=b'{"history": ["\\ud800"]}', headers=json)
    assert surrogate.status_code == 422
    huge = site.post("/v1/recommend", content=b'{"user": "a", "k": 1e999}', headers=json)
    assert huge.status_code == 422


def test_requests_at_once_are_answered_together_and_alike(
    make_site: MakeSite, personalizer: Personalizer
) -> None:
    ids = personalizer.run.dataset.catalog.item_ids
    questions = [{"history": ids[place : place + place % 5], "k": 5} for place in range(24)]
    questions[7] = {"history": ["unknown"]}
    together, alone = make_site(), make_site(batch=1)

    async def ask_all(site: Site) -> list[Any]:
        asked = [site.client.post("/v1/recommend", json=question) for question in questions]
        return [response.json() for response in await asyncio.gather(*asked)]

    answers, expected = together.runner.run(ask_all(together)), alone.runner.run(ask_all(alone))
    assert answers[7]["status"] == 422
    close(answers, expected)

    def calls(site: Site) -> float:
        count = site.service.metrics.registry.get_sample_value
        return count("unimp_batch_size_count", {"task": "recommend"}) or 0.0

    assert calls(alone) == 23
    assert calls(together) < 12


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (b"not a picture", "not a picture that can be read"),
        (picture()[:60], "picture"),
        (picture(5000, 5000), "5000x5000 pixels, at most"),
        (b"\x89PNG" + b"0" * 7_000_000, "bytes, at most"),
    ],
)
def test_a_bad_picture_is_refused(site: Site, file: bytes, message: str) -> None:
    response = site.post("/v1/search", data={"user": "a"}, files={"picture": ("a.png", file, "image/png")})
    assert message in site.refused(422, response)


def test_a_header_that_promises_too_many_pixels_is_refused_before_decoding(site: Site) -> None:
    small = bytearray(picture())
    small[16:24] = (50_000).to_bytes(4, "big") * 2
    sent = base64.b64encode(bytes(small)).decode()
    assert "picture" in site.refused(422, site.post("/v1/search", {"user": "a", "picture": sent}))
    assert "not base64" in site.refused(422, site.post("/v1/search", {"user": "a", "picture": "€"}))
