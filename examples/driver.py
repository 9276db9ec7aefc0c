import os, struct, sys
from websockets.sync.client import connect

OPENED, CLOSED, RECEIVED, WRITE, CLOSE = range(5)

def pack(kind, ip, number, data=b""):
    return bytes([kind]) + ip.encode() + b"\0" + struct.pack(">QI", number, len(data)) + data

def unpack(message):
    ip, rest = message[1:].split(b"\0", 1)
    number, size = struct.unpack(">QI", rest[:12])
    return message[0], ip.decode(), number, rest[12:]

token = os.environ.get("PLACE_SERVER_SECRET", "testing")
with connect(sys.argv[1], additional_headers={"Authorization": "Bearer " + token}) as driver:
    for message in driver:
        kind, ip, number, data = unpack(message)
        print(["OPENED", "CLOSED", "RECEIVED"][kind], ip, number, data, flush=True)
        if kind == RECEIVED:
            driver.send(pack(WRITE, ip, number, b"you said: " + data))
