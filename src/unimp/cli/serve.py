"""`unimp serve`: a trained run behind HTTP; `unimp keys`: who may use it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from unimp.cli.engine import Engine, check_engine

StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        envvar="UNIMP_STORE",
        help="sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME.",
    ),
]


keys = typer.Typer(help="API keys of a store.", no_args_is_help=True)


# One parameter per option makes it long; the body is short.
def serve(
    run: Annotated[Path, typer.Argument(help="Run folder made by `unimp train`.")],
    host: Annotated[
        str, typer.Option(help="Address to listen on; other than loopback needs keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    store: Annotated[
        str | None,
        typer.Option(
            envvar="UNIMP_STORE",
            help="sqlite:///FILE or postgresql+psycopg://…; default: store.db in the run folder.",
        ),
    ] = None,
    store_must_exist: Annotated[
        bool,
        typer.Option("--store-must-exist", help="Refuse to begin a new store: a mistyped name makes one."),
    ] = False,
    require_keys: Annotated[
        bool | None,
        typer.Option(
            "--keys/--no-keys", help="Ask for API keys; off only on loopback, and by default off there."
        ),
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Requests per second and key; 0: unlimited.")] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(help="Address of a reverse proxy whose X-Forwarded-For names the client; repeatable."),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            help="Most memory, as 2GiB: what the loaded model leaves is divided over all caches and queues."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Another limit, as connections=1000 (docs/serving.md); repeatable."),
    ] = None,
    threads: Annotated[int, typer.Option(help="CPU threads of the model; 0: all cores.")] = 0,
    data: Annotated[Path | None, typer.Option(help="Data folder, if it has moved since training.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    engine: Annotated[Engine, typer.Option(help="local, or ray: replicas on a cluster.")] = Engine.local,
    replicas: Annotated[
        int | None, typer.Option(min=1, help="ray: models that answer side by side; 2 where none is said.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="ray: HOST:PORT of the cluster; default: one of this machine.")
    ] = None,
) -> None:
    """Serve a run: JSON under /v1, a page at /."""
    # Long by its options, which typer reads from the signature; the work is in the functions it calls.
    from unimp.core.compute import set_threads
    from unimp.personalizer import load
    from unimp.serve.server import choose_settings, run_server
    from unimp.serve.settings import parse_bytes, resident_bytes
    from unimp.serve.store.store import Store

    most_bytes = None if memory is None else parse_bytes(memory)
    check_engine(engine, replicas=replicas, address=address)
    chosen = choose_settings(
        host, keys=require_keys, rate=rate, trusted_proxies=trusted_proxy or (), overrides=settings or ()
    )
    url = store or f"sqlite:///{(run / 'store.db').resolve()}"
    if store_must_exist:
        Store.open(url, create=False).close()
    if engine is Engine.ray:
        from unimp.core.errors import ConfigError
        from unimp.scale.serving import serve_on_cluster, served_run

        if memory is not None:
            raise ConfigError(f"--memory {memory}: is for --engine local; bound the replicas' nodes instead")
        served = served_run(run, data, device, url, chosen, threads)
        serve_on_cluster(served, host, port, replicas or 2, address)
        return
    set_threads(threads)
    personalizer = load(run, data=data, device=device)
    if most_bytes is not None:
        chosen = chosen.within(most_bytes, resident_bytes())
    run_server(personalizer, Store.open(url), chosen, host, port)


@keys.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    store: StoreOption,
    role: Annotated[str, typer.Option(help="read, write-events, admin; several with commas.")] = "read",
) -> None:
    """Make a key and print it: it is not kept, and cannot be shown again."""
    from unimp.serve.security import check_key_name, new_secret, parse_roles
    from unimp.serve.store.store import Store

    roles, secret = parse_roles(role), new_secret()
    Store.open(store).add_key(secret, check_key_name(name), roles)
    print(secret)


@keys.command("list")
def list_keys(
    store: StoreOption,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Names and roles."""
    from unimp.serve.store.store import Store

    found = {key.name: sorted(key.roles) for key in Store.open(store, create=False).all_keys()}
    if as_json:
        print(json.dumps(found))
        return
    for name, roles in found.items():
        print(f"{name}  {', '.join(roles)}")


@keys.command("remove")
def remove(name: Annotated[str, typer.Argument(help="Whose key.")], store: StoreOption) -> None:
    """Remove a key; a running server refuses it within ten seconds."""
    from unimp.core.errors import ConfigError
    from unimp.serve.store.store import Store

    if not Store.open(store, create=False).remove_key(name):
        raise ConfigError(f'key "{name}": there is none of this name; see `unimp keys list`')


def register(app: typer.Typer) -> None:
    app.command()(serve)
    app.add_typer(keys, name="keys")
