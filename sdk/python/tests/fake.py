"""A broker within the test: a gRPC server whose answers and streams the test controls."""

import queue
import unittest
from collections import deque
from concurrent import futures

import grpc
from google.protobuf import any_pb2

from sala import _status_pb2
from sala.v1 import (
    event_pb2,
    event_pb2_grpc,
    message_pb2,
    message_pb2_grpc,
    room_pb2,
    room_pb2_grpc,
)

KEY = "a-key-of-sixteen-characters"
WAIT = 30  # seconds that a test waits for something that must happen
END = object()


class Failure(Exception):
    """What the fake broker answers a call with."""

    def __init__(self, code, message="no", reason="", retry_after=0, violations=()):
        super().__init__(message)
        self.code, self.message = code, message
        self.details = []
        if reason:
            self.details.append(
                ("ErrorInfo", _status_pb2.ErrorInfo(reason=reason, metadata={"why": reason}))
            )
        if violations:
            fields = [
                _status_pb2.BadRequest.FieldViolation(field=f, description=d) for f, d in violations
            ]
            self.details.append(("BadRequest", _status_pb2.BadRequest(field_violations=fields)))
        if retry_after:
            info = _status_pb2.RetryInfo()
            info.retry_delay.FromMilliseconds(int(retry_after * 1000))
            self.details.append(("RetryInfo", info))

    def end(self, context):
        """Ends a call with this failure."""
        status = _status_pb2.Status(code=self.code.value[0], message=self.message)
        for name, detail in self.details:
            url = f"type.googleapis.com/google.rpc.{name}"
            status.details.append(any_pb2.Any(type_url=url, value=detail.SerializeToString()))
        if self.details:
            trailer = ("grpc-status-details-bin", status.SerializeToString())
            context.set_trailing_metadata((trailer,))
        context.abort(self.code, self.message)


class Stream:
    """One Subscribe stream, from the broker's side."""

    def __init__(self, requests, context):
        self.context = context
        self.requests = queue.Queue()  # what the client has sent; END when it closes its side
        self._responses = queue.Queue()
        self._reader = requests
        self.keep_open = (
            False  # whether the test ends the stream, when the client has closed its side
        )
        self.granted = 0  # credits that were granted in the requests that the test has read

    def read(self):
        try:
            for request in self._reader:
                self.requests.put(request)
        except grpc.RpcError:
            return  # the stream has broken
        self.requests.put(END)
        if not self.keep_open:
            self.end()

    def responses(self):
        while (response := self._responses.get()) is not END:
            if isinstance(response, Failure):
                response.end(self.context)
            yield response

    def next(self):
        """Returns the next request; None if the client has closed its side."""
        request = self.requests.get(timeout=WAIT)
        if request is END:
            return None
        self.granted += request.credit.credits
        return request

    def next_answer(self):
        """Returns the next reply or decision, and leaves out the credits before it."""
        while True:
            request = self.next()
            match request.WhichOneof("request"):
                case "reply":
                    return request.reply
                case "decision":
                    return request.decision

    def await_credits(self, wanted):
        """Reads until so many credits have been granted since the start."""
        while self.granted < wanted:
            self.next()

    def start(self):
        """Reads the first request, and says that the subscription is active."""
        start = self.next().start
        self.send(started=event_pb2.SubscribeStarted())
        return start

    def send(self, **response):
        self._responses.put(event_pb2.SubscribeResponse(**response))

    def event(self, delivery_id, event="say", args="[]", socket="s1", **more):
        """Sends an event of a client that waits for an ack."""
        more = {"kind": event_pb2.EVENT_KIND_MESSAGE, "needs_ack": True, "namespace": "/"} | more
        message = event_pb2.ClientEvent(delivery_id=delivery_id, args_json=args, **more)
        if message.kind == event_pb2.EVENT_KIND_MESSAGE:
            message.event = event
        if socket:
            message.socket.CopyFrom(event_pb2.EventSocket(id=socket, user="ana", namespace="/"))
        self.send(event=message)

    def end(self, failure=END):
        """Ends the stream, with an error if one is given."""
        self._responses.put(failure)


class FakeBroker(
    event_pb2_grpc.EventServiceServicer,
    message_pb2_grpc.MessageServiceServicer,
    room_pb2_grpc.RoomServiceServicer,
):
    """The broker. answers has what the next calls are answered with: a response, a Failure, or a
    function of the request and the context; when it is empty, calls succeed."""

    def __init__(self):
        self.calls = []  # (request, metadata)
        self.answers = deque()
        self.emit_streams = deque()  # what handles them: generators of the requests and the context
        self.pages = {}  # page token → ListRoomsResponse
        self._streams = queue.Queue()
        self._pool = futures.ThreadPoolExecutor(32)
        self.server = grpc.server(self._pool)
        event_pb2_grpc.add_EventServiceServicer_to_server(self, self.server)
        message_pb2_grpc.add_MessageServiceServicer_to_server(self, self.server)
        room_pb2_grpc.add_RoomServiceServicer_to_server(self, self.server)
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()
        self._open = []

    def close(self):
        for stream in self._open:
            stream.end()
        self.server.stop(0).wait()
        self._pool.shutdown()

    def stream(self):
        """Waits for the next Subscribe stream."""
        return self._streams.get(timeout=WAIT)

    def Subscribe(self, requests, context):
        stream = Stream(requests, context)
        self._open.append(stream)
        self._pool.submit(stream.read)
        self._streams.put(stream)
        yield from stream.responses()

    def Emit(self, request, context):
        return self._answer(request, context, message_pb2.EmitResponse(matched=1, queued=1))

    def Broadcast(self, request, context):
        return self._answer(request, context, message_pb2.BroadcastResponse(matched=1, queued=1))

    def EmitBatch(self, request, context):
        return self._answer(request, context, None)

    def EmitStream(self, requests, context):
        yield from self.emit_streams.popleft()(requests, context)

    def EmitWithAck(self, request, context):
        self.calls.append((request, dict(context.invocation_metadata())))
        if self.answers:
            self.answers.popleft()(request, context)
        ack = message_pb2.Ack(socket="s1", user="ana", args_json='[{"ok":true}]')
        yield message_pb2.EmitWithAckResponse(ack=ack)
        summary = message_pb2.AckSummary(expected=2, answered=1, timed_out=1)
        yield message_pb2.EmitWithAckResponse(summary=summary)

    def GetRoom(self, request, context):
        return self._answer(request, context, room_pb2.GetRoomResponse(name=request.room))

    def ClearRoom(self, request, context):
        return self._answer(request, context, room_pb2.ClearRoomResponse())

    def ListRooms(self, request, context):
        return self._answer(request, context, self.pages.get(request.page_token))

    def _answer(self, request, context, otherwise):
        self.calls.append((request, dict(context.invocation_metadata())))
        answer = self.answers.popleft() if self.answers else otherwise
        if callable(answer):
            answer = answer(request, context)
        if isinstance(answer, Failure):
            answer.end(context)
        return answer


class BrokerTestCase(unittest.TestCase):
    """A test with a fake broker."""

    def setUp(self):
        self.broker = FakeBroker()
        self.addCleanup(self.broker.close)
