"""`python -m tests.standin --port 0 [--fast]`: prints the port, serves until SIGTERM or the end of stdin."""

import argparse
import asyncio
import gc
import ssl
import sys

import uvloop

from tests.standin.fast import FastWire
from tests.standin.server import listen


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.standin", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--fast", action="store_true", help="canned replies, for load")
    parser.add_argument("--tls", metavar="PEM", help="a file with a certificate and its key: speak TLS")
    parser.add_argument("--until-stdin-ends", action="store_true", help="end with whoever started it")
    options = parser.parse_args()
    uvloop.run(_serve(options))


async def _serve(options: argparse.Namespace) -> None:
    tls = None
    if options.tls:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.tls)
    if options.fast:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(FastWire, "127.0.0.1", options.port, backlog=4096)
        gc.freeze()
    else:
        server = await listen(options.port, tls)
    print(server.sockets[0].getsockname()[1], flush=True)
    if options.until_stdin_ends:
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
    else:
        await server.serve_forever()


main()
