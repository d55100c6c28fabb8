"""The handlers of a small chat, in a program of their own. Start as many as you like: those of one
group share the work.

    SALA_API_KEY=… PYTHONPATH=../../sdk/python/src python3 chat.py
"""

import logging
import os
import signal

import sala

logging.basicConfig(level=logging.INFO)
broker = sala.Client(os.environ.get("SALA_SERVER", "127.0.0.1:9090"), key=os.environ["SALA_API_KEY"])
chat = broker.subscription("chat")


@chat.decide
def may_connect(event):
    if event.user == "mallory":
        raise sala.Refuse("BANNED", "you are banned from this chat")
    return sala.Accept(rooms=["lobby"])


@chat.on("say")
def say(event, message):
    if "spam" in message["text"]:
        raise sala.ClientError("MODERATED", "mind your language")
    event.emit_to("lobby", "said", {"user": event.user, "text": message["text"]})
    return {"ok": True}


@chat.on_disconnect
def gone(event):
    logging.info("%s has left: %s", event.user, event.reason)


@chat.on_started
def started(report):
    logging.info("listening")


signal.signal(signal.SIGTERM, lambda *_: chat.stop(wait=False))
chat.run()
