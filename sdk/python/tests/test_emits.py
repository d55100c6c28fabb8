"""Batches and streams of events."""

import asyncio
import threading
from unittest import mock

import grpc

import sala
import sala.aio
from sala import _transport
from sala.v1 import message_pb2
from tests.fake import KEY, WAIT, BrokerTestCase, Failure

GONE = Failure(grpc.StatusCode.UNAVAILABLE, "going away", "DRAINING")
SENT = message_pb2.EmitResult(matched=1, queued=1)


def refusal(reason):
    error = message_pb2.EmitError(code=9, reason=reason, message="no")
    return message_pb2.EmitResult(error=error)


def answer(request, result=SENT):
    return message_pb2.EmitStreamResponse(sequence=request.sequence, result=result)


class EmitsTest(BrokerTestCase):
    def setUp(self):
        super().setUp()
        self.client = sala.Client(self.broker.address, key=KEY)
        self.addCleanup(self.client.close)
        patch = mock.patch.object(_transport, "pause_before", lambda attempt: 0.001)
        patch.start()
        self.addCleanup(patch.stop)

    def test_a_batch_has_an_outcome_for_each_event_and_is_repeated_with_the_same_keys(self):
        results = message_pb2.EmitBatchResponse(results=[SENT, refusal("ROOM_FULL")])
        self.broker.answers.extend([GONE, results])
        emits = [sala.Emit("a", 1, rooms="r"), sala.Emit("b", rooms="r", idempotency_key="k")]
        first, second = self.client.emit_batch(emits)
        self.assertEqual(first.matched, 1)
        self.assertIsInstance(second, sala.FailedPrecondition)
        self.assertEqual((second.reason, second.message), ("ROOM_FULL", "no"))
        keys = [[e.idempotency_key for e in request.emits] for request, _ in self.broker.calls]
        self.assertEqual(keys[0], keys[1])
        self.assertTrue(keys[0][0] and keys[0][1] == "k")
        self.broker.answers.append(GONE)
        with self.assertRaises(sala.Unavailable):
            self.client.emit_batch(emits, retry=False)
        self.assertEqual(len(self.broker.calls), 3)

    def test_a_batch_without_keys_if_the_broker_remembers_none(self):
        off = refusal("IDEMPOTENCY_DISABLED")
        self.broker.answers.append(message_pb2.EmitBatchResponse(results=[off, off]))
        self.broker.answers.append(message_pb2.EmitBatchResponse(results=[SENT]))
        emits = [sala.Emit("a", rooms="r"), sala.Emit("b", rooms="r", idempotency_key="k")]
        first, second = self.client.emit_batch(emits)
        self.assertEqual((first.matched, second.reason), (1, "IDEMPOTENCY_DISABLED"))
        again, _ = self.broker.calls[-1]
        self.assertEqual([(e.event, e.idempotency_key) for e in again.emits], [("a", "")])

    def test_events_of_a_stream_that_breaks_are_sent_again_if_they_have_a_key(self):
        given = []

        def first(requests, context):
            for request in requests:
                given.append(request.emit.args_json)
                if len(given) == 1:
                    yield answer(request)
                if len(given) == 4:
                    GONE.end(context)

        def second(requests, context):
            for request in requests:
                given.append(request.emit.args_json)
                result = SENT if request.emit.idempotency_key == "b" else refusal("NO")
                yield answer(request, result)

        self.broker.emit_streams.extend([first, second])
        with self.client.emit_stream() as stream:
            a, b, c, d = [
                stream.emit(sala.Emit("news", n, rooms="r", idempotency_key=key))
                for n, key in enumerate(["", "b", "", "d"])
            ]
        self.assertEqual((a.result(0).matched, b.result(0).matched), (1, 1))
        with self.assertRaisesRegex(sala.Unavailable, "going away.*may have been sent"):
            c.result(0)
        self.assertEqual(d.exception(0).reason, "NO")
        self.assertEqual(given, ["[0]", "[1]", "[2]", "[3]", "[1]", "[3]"])
        with self.assertRaises(sala.Cancelled):
            stream.emit(sala.Emit("news", rooms="r"))

    def test_a_stream_bounds_what_is_on_its_way_and_gives_each_event_its_time(self):
        client = sala.Client(self.broker.address, key=KEY, timeout=0.2)
        self.addCleanup(client.close)
        over = threading.Event()
        self.addCleanup(over.set)

        def silent(requests, context):
            over.wait(WAIT)
            yield from ()

        self.broker.emit_streams.append(silent)
        stream = client.emit_stream()
        futures = [stream.emit(sala.Emit("news", rooms="r")) for _ in range(256)]
        stream.emit(sala.Emit("news", rooms="r"))  # waits for room
        self.assertIsInstance(futures[0].exception(WAIT), sala.DeadlineExceeded)
        over.set()
        stream.close()
        self.assertTrue(all(future.done() for future in futures))

    def test_an_error_that_another_stream_would_meet_ends_all_events(self):
        def denied(requests, context):
            next(requests)
            next(requests)
            Failure(grpc.StatusCode.PERMISSION_DENIED, reason="SCOPE_DENIED").end(context)
            yield

        self.broker.emit_streams.append(denied)

        async def program():
            async with sala.aio.Client(self.broker.address, key=KEY) as client:
                async with client.emit_stream() as stream:
                    return [
                        await stream.emit(sala.Emit("a", rooms="r", idempotency_key=str(n)))
                        for n in range(2)
                    ]

        for future in asyncio.run(program()):
            self.assertEqual(future.exception().reason, "SCOPE_DENIED")

    def test_closing_the_client_ends_all_events(self):
        over = threading.Event()
        self.addCleanup(over.set)

        def silent(requests, context):
            over.wait(WAIT)
            yield from ()

        self.broker.emit_streams.append(silent)
        future = self.client.emit_stream().emit(sala.Emit("news", rooms="r"))
        self.client.close()
        self.assertIsInstance(future.exception(WAIT), sala.Cancelled)
