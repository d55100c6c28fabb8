"""A Flask application that signs users in and sends them events. It needs no Socket.IO server, no
eventlet and no gevent, and runs under any WSGI server with any number of workers and threads.

    SALA_API_KEY=… PYTHONPATH=../../sdk/python/src flask run
"""

import os

from flask import Flask, request

import sala

app = Flask(__name__)

# Nothing is connected before the first call, so a server may fork its workers after this line.
broker = sala.Client(os.environ.get("SALA_SERVER", "127.0.0.1:9090"), key=os.environ["SALA_API_KEY"])


@app.post("/login")
def login():
    """Returns the token with which the page connects to Sala: io(url, {auth: {token}})."""
    user = request.json["user"]  # an application checks a password before it trusts this
    return {"token": broker.issue_token(user, rooms="lobby", join="chat:*").token}


@app.post("/rooms/<room>/news")
def post_news(room):
    """Sends an event to everyone in a room."""
    report = broker.emit("news", request.json, rooms=room)
    return {"queued": report.queued}


@app.errorhandler(sala.Error)
def failed(err):
    """Answers with 503 if the broker can't be reached, and with 500 if it refuses a call."""
    app.logger.error("Sala: %s", err)
    return {"error": err.reason or err.code}, 503 if isinstance(err, sala.Unavailable) else 500
