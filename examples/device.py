"""Plays a device: sends a line to a port and prints the answer.

    python3 examples/device.py 127.0.0.1 6001 hello
    python3 examples/device.py --udp 127.0.0.1 6001 hello
    python3 examples/device.py --tls 127.0.0.1 6002 hello
"""

import argparse
import socket
import ssl
import sys

options = argparse.ArgumentParser(description="Plays a device.")
options.add_argument("--udp", action="store_true", help="send a datagram")
options.add_argument("--tls", action="store_true", help="encrypt")
options.add_argument("--ca", metavar="FILE", help="with --tls: trust this certificate alone; else trust any")
options.add_argument("host")
options.add_argument("port", type=int)
options.add_argument("line", nargs="?", default="hello")
options = options.parse_args()

ANSWER_SECONDS = 10


def open_connection():
    if options.udp:
        found = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_DGRAM)
        (family, _, _, _, address) = found[0]
        device = socket.socket(family, socket.SOCK_DGRAM)
        device.connect(address)
    else:
        device = socket.create_connection((options.host, options.port))
    device.settimeout(ANSWER_SECONDS)
    return encrypted(device) if options.tls else device


def encrypted(device):
    context = ssl.create_default_context(cafile=options.ca)
    if not options.ca:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(device, server_hostname=options.host)


try:
    device = open_connection()
    device.sendall(options.line.encode() + b"\n")
    answer = device.recv(65536)
except TimeoutError:
    sys.exit(f"no answer within {ANSWER_SECONDS} s")
except OSError as error:
    sys.exit(f"no answer: {error}")
print(answer.decode(errors="replace"), end="")
if not answer and not options.udp:
    sys.exit("closed without an answer: the server's log says why")
