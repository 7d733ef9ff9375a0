"""A function as componentize-py has them: a class for the interface that it exports."""

import asyncio

import poll_loop
from componentize_py_types import Ok
from poll_loop import PollLoop, Sink, Stream
from wit_world import exports
from wit_world.imports.types import (
    Fields,
    IncomingRequest,
    OutgoingRequest,
    OutgoingResponse,
    ResponseOutparam,
    Scheme_Http,
)

# Not kept from one request to the next, as each has an instance of its own.
requests = 0


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, response_out: ResponseOutparam):
        loop = PollLoop()
        asyncio.set_event_loop(loop)
        loop.run_until_complete(answer(request, response_out))


async def answer(request: IncomingRequest, response_out: ResponseOutparam):
    global requests
    path = request.path_with_query()
    headers = dict(request.headers().entries())
    if path == "/fail":
        raise RuntimeError("on purpose")
    response = OutgoingResponse(Fields())
    body = response.body()
    if path not in ("/", "/echo", "/pieces", "/ask"):
        response.set_status_code(404)
    ResponseOutparam.set(response_out, Ok(response))
    sink = Sink(body)
    if path == "/":
        requests += 1
        await sink.send(f"hello {requests}\n".encode())
    elif path == "/echo":
        await copy(Stream(request.consume()), sink)
    elif path == "/pieces":
        for piece in range(1, 4):
            await sink.send(f"{piece};".encode())
    elif path == "/ask":
        url = headers["x-ask"].decode().removeprefix("http://")
        authority, _, rest = url.partition("/")
        asked = OutgoingRequest(Fields())
        asked.set_scheme(Scheme_Http())
        asked.set_authority(authority)
        asked.set_path_with_query("/" + rest)
        answered = await poll_loop.send(asked)
        await copy(Stream(answered.consume()), sink)
    else:
        await sink.send(b"no such path\n")
    sink.close()


async def copy(stream: Stream, sink: Sink):
    while (chunk := await stream.next()) is not None:
        await sink.send(chunk)
