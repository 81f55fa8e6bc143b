"""The process: settings for where it listens, a socket, uvicorn."""

from __future__ import annotations

import socket
import sys

import uvicorn

from unimp.core.errors import ConfigError
from unimp.personalizer import Personalizer
from unimp.serve.app import create_app
from unimp.serve.settings import ServeSettings, is_loopback
from unimp.serve.store.store import Store


def choose_settings(host: str, *, keys: bool | None = None, rate: float | None = None) -> ServeSettings:
    """Keys everywhere but on loopback, where they are off unless asked for, and rates with them."""
    loopback = is_loopback(host)
    if keys is False and not loopback:
        raise ConfigError(f"--no-keys: not on {host}; keys may be off only on loopback (127.0.0.1)")
    asked = not loopback if keys is None else keys
    if rate is not None and rate < 0:
        raise ConfigError(f"--rate: must not be negative (got {rate:g})")
    if rate is None:
        rate = ServeSettings().requests_per_second if asked else 0.0
    return ServeSettings(keys=asked, requests_per_second=rate)


def bind(host: str, port: int) -> socket.socket:
    """A listening address; ConfigError when it is taken or not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # named as TCP, or asyncio does not switch Nagle's algorithm off and every answer waits 40 ms
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigError(f"--host {host} --port {port}: {error.strerror}; choose another") from None
    return listener


def run_server(
    personalizer: Personalizer, store: Store, settings: ServeSettings, host: str, port: int
) -> None:
    """Serve until SIGTERM or SIGINT; then finish what is in flight."""
    app = create_app(personalizer, store, settings)
    listener = bind(host, port)
    shown = f"[{host}]" if ":" in host else host
    print(f"serving on http://{shown}:{listener.getsockname()[1]}/", file=sys.stderr, flush=True)
    if settings.keys and not store.all_keys():
        print("there are no API keys yet; make one with `unimp keys add`", file=sys.stderr, flush=True)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )
    uvicorn.Server(config).run(sockets=[listener])
