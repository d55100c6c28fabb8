"""A backend that calls Sala: it issues a token for a user and sends an event to a room.

    SALA_API_KEY=… PYTHONPATH=../../sdk/python/src python3 backend.py
"""

import os
import sys

import sala

address, key = os.environ.get("SALA_SERVER", "127.0.0.1:9090"), os.environ.get("SALA_API_KEY")
if not key:
    sys.exit("set SALA_API_KEY to an API key; sala serve --dev prints one")

broker = sala.Client(address, key=key, timeout=5)
try:
    print("token for ana:", broker.issue_token("ana", join="chat:*").token)
    sent = broker.emit("news", {"text": "hello from Python"}, rooms="chat:42")
    print(f"queued for {sent.queued} of {sent.matched} sockets")
except sala.Unavailable:
    sys.exit(f"nobody answers at {address}; start Sala, or set SALA_SERVER to its gRPC address")
except sala.Error as err:
    sys.exit(err.message)
