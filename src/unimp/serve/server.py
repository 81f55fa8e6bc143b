"""The process: settings for where it listens, a socket, uvicorn."""

from __future__ import annotations

import gc
import logging
import socket
import sys
from collections.abc import Iterable

import uvicorn
from fastapi import FastAPI

from unimp.core.config import parse_overrides
from unimp.core.errors import ConfigError
from unimp.personalizer import Personalizer
from unimp.serve.app import create_app
from unimp.serve.protocol import bounded_protocol
from unimp.serve.settings import ServeSettings, is_loopback
from unimp.serve.store.store import Store

OPTIONS = {"keys": "--keys", "requests_per_second": "--rate", "trusted_proxies": "--trusted-proxy"}
"""Settings that have options of their own."""


def choose_settings(
    host: str,
    *,
    keys: bool | None = None,
    rate: float | None = None,
    trusted_proxies: Iterable[str] = (),
    overrides: Iterable[str] = (),
) -> ServeSettings:
    """Keys everywhere but on loopback, where they are off unless asked for, and rates with them.

    `overrides`: `name=value` of further settings; ConfigError for an unknown name or a wrong value.
    """
    further = parse_overrides(overrides)
    for name, option in OPTIONS.items():
        if name in further:
            raise ConfigError(f"--set {name}: use {option}")
    loopback = is_loopback(host)
    if keys is False and not loopback:
        raise ConfigError(f"--no-keys: not on {host}; keys may be off only on loopback (127.0.0.1)")
    asked = not loopback if keys is None else keys
    if rate is not None and rate < 0:
        raise ConfigError(f"--rate: must not be negative (got {rate:g})")
    if rate is None:
        rate = ServeSettings().requests_per_second if asked else 0.0
    chosen = {"keys": asked, "requests_per_second": rate, "trusted_proxies": frozenset(trusted_proxies)}
    return ServeSettings.parse(further | chosen, "--set")


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; ConfigError when the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # named as TCP, or asyncio does not switch Nagle's algorithm off and every answer waits 40 ms
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OverflowError:
        listener.close()
        raise ConfigError(f"--port {port}: must be 0 to 65535") from None
    except OSError as error:
        listener.close()
        raise ConfigError(f"--host {host} --port {port}: {error.strerror}; choose another") from None
    return listener


def run_server(
    personalizer: Personalizer, store: Store, settings: ServeSettings, host: str, port: int
) -> None:
    """Serve until SIGTERM or SIGINT; then finish what is in flight."""
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    app = create_app(personalizer, store, settings)
    listener = listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    print(f"serving on http://{shown}:{listener.getsockname()[1]}/", file=sys.stderr, flush=True)
    if settings.keys and not store.all_keys():
        print("there are no API keys yet; make one with `unimp keys add`", file=sys.stderr, flush=True)
    serve_app(app, settings, listener)


def serve_app(app: FastAPI, settings: ServeSettings, listener: socket.socket) -> None:
    """Run the application on a bound socket until a signal ends it."""
    gc.collect()
    gc.freeze()  # model, catalogue and modules stay: looking through them for garbage would stop all requests
    uvicorn.Server(server_config(app, settings)).run(sockets=[listener])


def server_config(app: FastAPI, settings: ServeSettings) -> uvicorn.Config:
    """uvicorn with bounded connections, which the application's metrics show; see `protocol.py`."""
    protocol = bounded_protocol(settings)
    app.state.service.metrics.watch_bytes(protocol.limits.holders())
    return uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.idle_seconds,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )
