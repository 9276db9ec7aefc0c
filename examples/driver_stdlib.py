"""A driver that needs Python's standard library alone, for machines where nothing can be installed.

    python3 examples/driver_stdlib.py "ws://127.0.0.1:3000/api/dispatch/v1/udp_dispatch?port=6001&accept=127.0.0.1"

It also shows how little of WebSocket a driver needs: dispatch sends each message as a single
unmasked frame, and pings every 30 seconds.
"""

import base64
import os
import socket
import ssl
import struct
import sys
from urllib.parse import urlsplit

OPENED, CLOSED, RECEIVED, WRITE, CLOSE = range(5)
BINARY_FRAME, CLOSE_FRAME, PING_FRAME, PONG_FRAME = 2, 8, 9, 10


def connect(url, token):
    """Asks for the port. What comes back reads and writes frames."""
    parts = urlsplit(url)
    secure = parts.scheme in ("wss", "https")
    connection = socket.create_connection((parts.hostname, parts.port or (443 if secure else 80)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if secure:
        connection = ssl.create_default_context().wrap_socket(
            connection, server_hostname=parts.hostname)
    stream = connection.makefile("rwb")
    key = base64.b64encode(os.urandom(16)).decode()
    stream.write((
        f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Authorization: Bearer {token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n").encode())
    stream.flush()
    status = stream.readline().decode().strip()
    headers = {}
    while line := stream.readline().strip():
        name, value = line.decode().split(":", 1)
        headers[name.lower()] = value.strip()
    if " 101 " not in status:
        body = stream.read(int(headers.get("content-length", 0)))
        sys.exit(f"refused: {status}: {body.decode().strip()}")
    return stream


def send_frame(stream, opcode, payload):
    """One frame; what goes to a server is masked."""
    size = len(payload)
    if size < 126:
        head = struct.pack(">BB", 0x80 | opcode, 0x80 | size)
    elif size < 65536:
        head = struct.pack(">BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack(">BBQ", 0x80 | opcode, 0x80 | 127, size)
    mask = os.urandom(4)
    pattern = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    masked = (int.from_bytes(payload, "big") ^ pattern).to_bytes(size, "big")
    stream.write(head + mask + masked)
    stream.flush()


def read_exactly(stream, size):
    data = stream.read(size)
    if len(data) < size:
        raise ConnectionError("the server is gone")
    return data


def read_frame(stream):
    first, size = read_exactly(stream, 2)
    if size == 126:
        (size,) = struct.unpack(">H", read_exactly(stream, 2))
    elif size == 127:
        (size,) = struct.unpack(">Q", read_exactly(stream, 8))
    return first & 15, read_exactly(stream, size)


def messages(stream):
    """The messages of dispatch, until it closes. Pings are answered on the way."""
    while True:
        opcode, payload = read_frame(stream)
        if opcode == BINARY_FRAME:
            yield payload
        elif opcode == PING_FRAME:
            send_frame(stream, PONG_FRAME, payload)
        elif opcode == CLOSE_FRAME:
            send_frame(stream, CLOSE_FRAME, payload)
            code = int.from_bytes(payload[:2], "big")
            print(f"closed: {code} {payload[2:].decode()}", file=sys.stderr)
            return


def pack(kind, ip, number, data=b""):
    return bytes([kind]) + ip.encode() + b"\0" + struct.pack(">QI", number, len(data)) + data


def unpack(message):
    ip, rest = message[1:].split(b"\0", 1)
    number, size = struct.unpack(">QI", rest[:12])
    return message[0], ip.decode(), number, rest[12:]


def main(url):
    stream = connect(url, os.environ.get("PLACE_SERVER_SECRET", "testing"))
    for message in messages(stream):
        kind, ip, number, data = unpack(message)
        print(["OPENED", "CLOSED", "RECEIVED"][kind], ip, number, data, flush=True)
        if kind == RECEIVED:
            send_frame(stream, BINARY_FRAME, pack(WRITE, ip, number, b"you said: " + data))


main(sys.argv[1])
