"""A driver that stays: it comes back after the server or the network was away.

    pip install websockets
    python3 examples/steady_driver.py "ws://127.0.0.1:3000/api/dispatch/v1/tcp_dispatch?port=6001&accept=127.0.0.1"

It waits a little longer after each failure, and not exactly as long as its neighbours do. A request
that can't succeed is not repeated: the server's words say what to change.
"""

import os
import random
import struct
import sys
import time

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

OPENED, CLOSED, RECEIVED, WRITE, CLOSE = range(5)
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30

# These get the same answer however often they are sent.
HOPELESS = {400, 401, 403, 404, 422}


def pack(kind, ip, number, data=b""):
    return bytes([kind]) + ip.encode() + b"\0" + struct.pack(">QI", number, len(data)) + data


def unpack(message):
    ip, rest = message[1:].split(b"\0", 1)
    number, size = struct.unpack(">QI", rest[:12])
    return message[0], ip.decode(), number, rest[12:]


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def serve(driver):
    """Answers devices until the connection ends. Devices connect anew after it: keep nothing of them."""
    for message in driver:
        kind, ip, number, data = unpack(message)
        print(["OPENED", "CLOSED", "RECEIVED"][kind], ip, number, data, flush=True)
        if kind == RECEIVED:
            driver.send(pack(WRITE, ip, number, b"you said: " + data))


def main(url):
    token = os.environ.get("PLACE_SERVER_SECRET", "testing")
    headers = {"Authorization": "Bearer " + token, "X-Module-ID": "steady-driver"}
    pause = FIRST_PAUSE
    while True:
        try:
            with connect(url, additional_headers=headers) as driver:
                say("connected")
                pause = FIRST_PAUSE
                serve(driver)
                why = f"closed: {driver.close_code} {driver.close_reason}"
        except InvalidStatus as refused:
            why = f"refused: {refused.response.status_code} {refused.response.body.decode().strip()}"
            if refused.response.status_code in HOPELESS:
                sys.exit(why)
        except (OSError, EOFError, ConnectionClosed) as error:
            why = f"not connected: {error}"
        wait = random.uniform(pause / 2, pause)
        say(f"{why}; trying again in {wait:.1f} s")
        time.sleep(wait)
        pause = min(2 * pause, LONGEST_PAUSE)


main(sys.argv[1])
