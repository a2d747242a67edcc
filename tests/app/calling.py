"""An application, its server, and a client joined through memory: no sockets where they are not the subject."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from letterhead import App, AsyncClient, LetterheadError, Message
from letterhead.server.server import Server
from letterhead.testing import memory


@contextlib.asynccontextmanager
async def client_of(app: App, **options: Any) -> AsyncIterator[AsyncClient]:
    """A client of a server that runs while the block does."""
    async with served(app) as server, client_to(server, **options) as client:
        yield client


def served(app: App) -> Server:
    """A server without a listening socket."""
    return Server(app, ())


def client_to(server: Server, **options: Any) -> AsyncClient:
    """A further client of it."""
    return AsyncClient(memory.ADDRESS, connector=memory.connector(server), **options)


async def in_both_forms(app: App, action: str, /, *arg: Any, **args: Any) -> Any:
    """What the action answers: asked in classic form (a connection's first request) and then by name.

    Errors are returned as (code, argument). Both forms must give the same.
    """
    async with client_of(app) as client:
        classic = await outcome(client, action, *arg, **args)
        named = await outcome(client, action, *arg, **args)
    assert classic == named, "the two forms differ"
    return named


async def outcome(client: AsyncClient, action: str, /, *arg: Any, **args: Any) -> Any:
    """The result, or an error's code and the argument it names."""
    try:
        return await client.call(action, *arg, **args)
    except LetterheadError as error:
        return error.code, error.facts.get("argument")


async def send_json(client: AsyncClient, action: str, content: bytes, **fields: Any) -> Message:
    """Send these very bytes as an action's arguments."""
    return await client.send(Message(content, {"action": action, "content-type": "text/json", **fields}))
