"""Pictures from the web: polite, resumable, bounded, never from a private network, and checked."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import polars as pl
import pytest

from tests.data.csv_shop import import_csv, jpeg, shop, write_csv
from unimp.cli import main
from unimp.core.errors import DataError
from unimp.data import picture_hosts, web
from unimp.data.dataset import Dataset
from unimp.data.fetching import FOLDER, fetch_pictures
from unimp.data.picture_check import LISTED
from unimp.data.picture_hosts import FetchOptions
from unimp.data.web import FetchError, FetchLimits, fetch, is_public, parts_of, seconds_to_wait

Answer = Callable[[BaseHTTPRequestHandler], None]


class Shop(ThreadingHTTPServer):
    """A web server of pictures on this machine; `answers` says what each path gives."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Answer] = {}
        self.asked: Counter[str] = Counter()
        self.agents: set[str] = set()
        self.now, self.most_at_once = 0, 0
        self.lock = threading.Lock()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Shop

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.asked[self.path] += 1
            self.server.agents.add(self.headers["User-Agent"])
            self.server.now += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.now)
        time.sleep(0.01)  # others who ask at the same time are counted; who is answered asks no more
        with self.server.lock:
            self.server.now -= 1
        self.server.answers.get(self.path, status(404))(self)

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


def picture(data: bytes, length: int | None = None) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data) if length is None else length))
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def status(code: int, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def in_turn(*answers: Answer) -> Answer:
    """Another answer each time, the last one for ever."""
    left = list(answers)
    return lambda handler: (left.pop(0) if len(left) > 1 else left[0])(handler)


def endless(handler: BaseHTTPRequestHandler) -> None:
    """A byte now and then, without an end."""
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.02)
    except OSError:
        return


@pytest.fixture
def server() -> Iterator[Shop]:
    made = Shop()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


HERE = FetchLimits(allow_private=True, seconds=10)


def test_one_picture(server: Shop) -> None:
    server.answers["/a%20b.jpg?w=1,2"] = picture(jpeg())
    assert fetch(server.url("/a b.jpg?w=1,2"), HERE) == jpeg()
    assert server.agents == {web.USER_AGENT}


@pytest.mark.parametrize(
    ("answer", "limits", "reason", "again"),
    [
        (status(404), HERE, "status 404", None),
        (status(500), HERE, "status 500", 1.0),
        (status(429, Retry_After="7"), HERE, "status 429", 7.0),
        (status(302, Location="/x"), HERE, "more than 5 redirects", None),
        (status(302, Location="file:///etc/passwd"), HERE, "not an http or https address", None),
        (picture(bytes(3000)), FetchLimits(2000, 10, True), "larger than 0.0019", None),
        (picture(b"", 10**9), HERE, "larger than 20 MiB", None),
        (endless, FetchLimits(50, 10, True), "larger than 4.7", None),
        (endless, FetchLimits(10**6, 0.2, True), "took more than 0.2 s", None),
        (picture(b"half", 100), HERE, "no proper answer|ended before its end", None),
    ],
)
def test_what_is_refused(
    server: Shop, answer: Answer, limits: FetchLimits, reason: str, again: float | None
) -> None:
    server.answers["/x"] = answer
    with pytest.raises(FetchError, match=reason) as raised:
        fetch(server.url("/x"), limits)
    if again is not None:
        assert raised.value.retry_after == again


PRIVATE = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1",
    "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "::ffff:127.0.0.1",
    "64:ff9b::a00:1", "2002:7f00:1::", "ff02::1", "fec0::1",
]  # fmt: skip


@pytest.mark.parametrize("number", PRIVATE)
def test_addresses_that_are_not_public(number: str) -> None:
    assert not is_public(number)


@pytest.mark.parametrize(
    "number", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "64:ff9b::808:808"]
)
def test_public_addresses(number: str) -> None:
    assert is_public(number)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1/a", "http://localhost/a", "http://[::1]/a", "http://0x7f000001/", "http://2130706433/"]
)  # fmt: skip
def test_this_machine_is_never_asked(address: str) -> None:
    with pytest.raises(FetchError, match=r"not public|unknown host"):
        fetch(address, FetchLimits())


@pytest.mark.parametrize(
    "address", ["ftp://a/b", "file:///etc/passwd", "javascript:1", "http://", "http://[x/", "a.png"]
)
def test_only_http(address: str) -> None:
    with pytest.raises(FetchError, match=r"not an? (http or https|web) address"):
        parts_of(address)


def resolver(monkeypatch: pytest.MonkeyPatch, names: dict[str, list[str]]) -> list[str]:
    """Names that stand for numbers, in turn; what was connected to."""
    connected: list[str] = []

    def look_up(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        numbers = names[host]
        number = numbers.pop(0) if len(numbers) > 1 else numbers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (number, port))]

    def connect(place: tuple[str, int], timeout: float) -> socket.socket:
        connected.append(place[0])
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket, "create_connection", connect)
    return connected


def test_a_name_is_looked_up_once_and_its_checked_number_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    connected = resolver(monkeypatch, {"cdn.example": ["93.184.216.34", "127.0.0.1"]})
    with pytest.raises(FetchError, match="connection refused"):
        fetch("https://cdn.example/a.jpg", FetchLimits())
    assert connected == ["93.184.216.34"]
    with pytest.raises(FetchError, match=r"cdn\.example is 127\.0\.0\.1, an address that is not public"):
        fetch("https://cdn.example/a.jpg", FetchLimits())
    assert connected == ["93.184.216.34"]


def test_a_redirect_into_the_own_network_is_not_followed(
    server: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers["/out"] = status(302, Location="http://metadata.example/secret")
    check, look_up = web.checked_number, socket.getaddrinfo

    def check_all_but_the_first(host: str, port: int, limits: FetchLimits) -> str:
        return host if host == "127.0.0.1" else check(host, port, limits)

    def private(host: str, *given: object, **named: object) -> object:
        if host != "metadata.example":
            return look_up(host, *given, **named)  # type: ignore[arg-type]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 80))]

    monkeypatch.setattr(web, "checked_number", check_all_but_the_first)
    monkeypatch.setattr(socket, "getaddrinfo", private)
    with pytest.raises(FetchError, match=r"metadata\.example is 169\.254\.169\.254"):
        fetch(server.url("/out"), FetchLimits(seconds=10))


def test_when_to_ask_again() -> None:
    assert seconds_to_wait("12") == 12
    assert seconds_to_wait(None) == seconds_to_wait("soon") == 1
    assert seconds_to_wait("Thu, 01 Jan 2015 00:00:00 GMT") == 0
    assert seconds_to_wait("Fri, 01 Jan 2100 00:00:00 GMT") > 1e9


def imported(tmp_path: Path, cells: list[str], **options: object) -> Path:
    folder, out = tmp_path / "shop", tmp_path / "out"
    folder.mkdir()
    rows = [(*row[:4], cell) for row, cell in zip(shop().items, [*cells, "", "", ""], strict=False)]
    write_csv(folder / "items.csv", ("item_id", "title", "colour", "price", "picture"), rows)
    write_csv(folder / "events.csv", ("user_id", "item_id", "timestamp", "rating", "review"), shop().events)
    (folder / "pictures").mkdir()
    (folder / "pictures" / "own.png").write_bytes(jpeg("white"))
    import_csv(folder, out, **options)
    return out


OPTIONS = FetchOptions(delay=0, allow_private=True, timeout=10)


def test_fetched_pictures_become_the_items_own(server: Shop, tmp_path: Path) -> None:
    server.answers |= {
        "/0.jpg": picture(jpeg("red")),
        "/1.jpg": status(404),
        "/1b.jpg": picture(jpeg("green")),
        "/2.jpg": picture(b"<html>sold out</html>"),
    }
    cells = [
        server.url("/0.jpg"),
        f"{server.url('/1.jpg')}, {server.url('/1b.jpg')}",
        server.url("/2.jpg"),
        "own.png",
    ]
    out = imported(tmp_path, cells)
    before = Dataset.load(out).data_hash
    report = fetch_pictures(out, OPTIONS)
    assert (report.fetched, report.there, report.items, report.without) == (2, 0, 3, 1)
    assert sorted(report.failed.values()) == [
        "a web page (HTML), not a picture that can be read",
        "status 404",
    ]
    dataset = Dataset.load(out, verify=True)
    assert dataset.data_hash == report.data_hash != before
    source, references = dataset.catalog.pictures, dataset.catalog.picture_references
    assert source is not None
    assert source.path == (out / FOLDER).resolve()
    assert references[2] is None
    found = dict(source.read([name for name in references if name]))
    assert [found[name] if name else None for name in references] == [
        jpeg("red"), jpeg("green"), None, jpeg("white"),
    ]  # fmt: skip
    assert dataset.manifest.counts["pictures"] == 3
    assert not [note for note in dataset.manifest.notes if "on the web, which" in note]


def test_a_run_that_was_stopped_goes_on(server: Shop, tmp_path: Path) -> None:
    for item in range(3):
        server.answers[f"/{item}.jpg"] = picture(jpeg(("red", "green", "blue")[item]))
    server.answers["/2.jpg"] = in_turn(status(404), picture(jpeg("blue")))
    out = imported(tmp_path, [server.url(f"/{item}.jpg") for item in range(3)])
    first = fetch_pictures(out, OPTIONS)
    assert (first.fetched, len(first.failed)) == (2, 1)
    second = fetch_pictures(out, OPTIONS)
    assert (second.fetched, second.there, second.failed, second.items) == (1, 2, {}, 3)
    assert server.asked == {"/0.jpg": 1, "/1.jpg": 1, "/2.jpg": 2}
    third = fetch_pictures(out, OPTIONS)
    assert (third.fetched, third.there, third.data_hash) == (0, 3, second.data_hash)
    (out / FOLDER).rename(tmp_path / "kept")  # and what was fetched serves another import
    again = import_csv(tmp_path / "shop", tmp_path / "again", pictures=tmp_path / "kept")
    assert again.manifest.counts["pictures"] == 3


def test_one_host_is_asked_for_one_at_a_time_and_waited_for(
    server: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for item in range(4):
        server.answers[f"/{item}.jpg"] = picture(jpeg(f"#00{item}000"))
    server.answers["/1.jpg"] = in_turn(status(503, Retry_After="0"), picture(jpeg("green")))
    out = imported(tmp_path, [server.url(f"/{item}.jpg") for item in range(4)])
    report = fetch_pictures(out, OPTIONS)
    assert (report.fetched, report.failed) == (4, {})
    assert server.most_at_once == 1
    assert server.asked["/1.jpg"] == 2


def test_a_host_that_wants_to_be_left_alone_is(server: Shop, tmp_path: Path) -> None:
    server.answers["/0.jpg"] = status(429, Retry_After="3600")
    out = imported(tmp_path, [server.url(f"/{item}.jpg") for item in range(4)])
    report = fetch_pictures(out, OPTIONS)
    assert list(report.failed.values()) == [
        "status 429",
        *["its host asks to be left alone for 3600 s; run it again then"] * 3,
    ]
    assert server.asked == {"/0.jpg": 1}


def test_the_same_picture_is_fetched_once_and_placeholders_are_left_out(server: Shop, tmp_path: Path) -> None:
    server.answers |= {"/no-image.png": picture(jpeg("grey")), "/1.jpg": picture(jpeg("grey"))}
    out = imported(
        tmp_path, [server.url(path) for path in ("/1.jpg", "/no-image.png", "/no-image.png", "/1.jpg")]
    )
    report = fetch_pictures(out, OPTIONS)
    assert report.fetched == 2
    assert server.asked["/no-image.png"] == 1


def test_the_web_is_not_asked_by_an_import_nor_for_private_addresses(server: Shop, tmp_path: Path) -> None:
    out = imported(tmp_path, [server.url("/0.jpg")] * 4)
    assert not server.asked
    report = fetch_pictures(out, FetchOptions(delay=0))
    assert list(report.failed.values()) == ["127.0.0.1 is 127.0.0.1, an address that is not public"]
    assert not server.asked


def test_the_command(
    server: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(*arguments: object) -> tuple[object, str, str]:
        monkeypatch.setattr("sys.argv", ["unimp", "data", "fetch-pictures", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main.main()
        return stop.value.code, *capsys.readouterr()

    server.answers["/0.jpg"] = picture(jpeg())
    out = imported(tmp_path, [server.url("/0.jpg"), server.url("/1.jpg")])
    code, text, _ = call(out, "--allow-private", "--delay", 0)
    assert code == 0
    assert "1 fetched, 0 were there, 1 failed" in text
    assert f"1 × status 404, the first: {server.url('/1.jpg')}" in text
    code, text, _ = call(out, "--allow-private", "--json")
    assert json.loads(text)["there"] == 1
    code, _, error = call(tmp_path / "shop")
    assert (code, error.count("\n")) == (2, 1)
    assert "not a data folder" in error
    pl.read_parquet(out / LISTED).with_columns(web=False).write_parquet(out / LISTED)
    code, _, error = call(out)
    assert code == 2
    assert "no item names a picture on the web" in error


def test_a_folder_without_any_named_picture(shop_folder: Path, tmp_path: Path) -> None:
    import_csv(shop_folder, tmp_path / "out")
    with pytest.raises(DataError, match="no item names a picture on the web; map its column"):
        fetch_pictures(tmp_path / "out", OPTIONS)


def test_nothing_half_written_is_left(server: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers["/0.jpg"] = picture(jpeg())
    out = imported(tmp_path, [server.url("/0.jpg")])
    before = {path.name: path.read_bytes() for path in out.glob("*.*")}

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(picture_hosts, "put", fail)
    with pytest.raises(KeyboardInterrupt):
        fetch_pictures(out, OPTIONS)
    assert {path.name: path.read_bytes() for path in out.glob("*.*")} == before
    assert list((out / FOLDER).iterdir()) == []
