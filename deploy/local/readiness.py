"""Whether a server truly answers in its own protocol, each asked with the smallest exchange that proves it.

Every probe returns None when ready, else the reason in a few words; none waits longer than its timeout.
"""

import json
import socket
import struct
import urllib.error
import urllib.request

PROBE_BUDGET_S = 1.0
HOST = "127.0.0.1"

_MQTT_CONNECT = bytes.fromhex("10 10 0004 4d515454 05 02 000a 00 0003 636e72")
"""CONNECT: MQTT 5, clean start, keep alive 10 s, no properties, client id "cnr"."""
_MQTT_DISCONNECT = bytes.fromhex("e0 00")


def mqtt(port: int) -> str | None:
    """A broker that accepts a CONNECT."""
    try:
        with socket.create_connection((HOST, port), PROBE_BUDGET_S) as connection:
            connection.sendall(_MQTT_CONNECT)
            answer = connection.recv(64)
            connection.sendall(_MQTT_DISCONNECT)
    except OSError as error:
        return f"no MQTT broker answers on port {port} ({error})"
    if len(answer) >= 4 and answer[0] == 0x20 and answer[3] == 0:
        return None
    return f"the MQTT broker on port {port} refused a connection (CONNACK {answer[:4].hex()})"


def kafka(port: int) -> str | None:
    """A broker that is registered and not fenced: only then does Metadata list it."""
    client = b"citynerve"
    request = struct.pack(">hhih", 3, 1, 1, len(client)) + client + struct.pack(">i", 0)  # Metadata v1, no topics
    try:
        with socket.create_connection((HOST, port), PROBE_BUDGET_S) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            answer = connection.recv(4096)
    except OSError as error:
        return f"no Kafka broker answers on port {port} ({error})"
    if len(answer) >= 12 and struct.unpack_from(">i", answer, 8)[0] >= 1:
        return None
    return f"the Kafka broker on port {port} has not joined its cluster yet"


def http(port: int, path: str) -> str | None:
    """An HTTP server that answers 200."""
    address = f"http://{HOST}:{port}{path}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=PROBE_BUDGET_S):
            return None
    except urllib.error.HTTPError as error:
        return f"{address} says {error.code}{_reasons(error.read(2000))}"
    except (OSError, ValueError) as error:
        return f"{address} does not answer ({getattr(error, 'reason', error)})"


def _reasons(body: bytes) -> str:
    """The reasons of our own /readyz, in brackets."""
    try:
        reasons = json.loads(body)["reasons"]
        return f" ({'; '.join(str(reason) for reason in reasons)})"
    except (ValueError, KeyError, TypeError):
        return ""
