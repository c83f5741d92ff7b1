"""Many connections are accepted at once, even by a busy loop."""

import asyncio
import socket

import uvloop

from tournee.web.listening import BACKLOG, LISTENERS, listeners

CROWD = 200


class Counting(asyncio.Protocol):
    """Counts accepted connections."""

    taken = 0

    def connection_made(self, _transport: asyncio.BaseTransport) -> None:
        Counting.taken += 1


async def _rounds_to_take_in_a_crowd() -> int:
    loop = asyncio.get_running_loop()
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    servers = [await loop.create_server(Counting, sock=each, backlog=BACKLOG) for each in listeners(bound)]
    # They arrive while the loop is busy.
    crowd = [socket.create_connection(bound.getsockname()) for _ in range(CROWD)]
    rounds = 0
    while Counting.taken < CROWD and rounds < CROWD:
        await asyncio.sleep(0)
        rounds += 1
    for connection in crowd:
        connection.close()
    for server in servers:
        server.close()
    return rounds


def test_each_turn_of_the_loop_accepts_many_connections() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rounds = runner.run(_rounds_to_take_in_a_crowd())
    assert rounds <= CROWD // LISTENERS + 5
