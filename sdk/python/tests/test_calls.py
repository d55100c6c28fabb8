import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import grpc

import sala
import sala.aio
from sala import _transport
from sala.v1 import message_pb2, message_pb2_grpc, room_pb2
from tests.fake import KEY, WAIT, BrokerTestCase, Failure

UNAVAILABLE = Failure(grpc.StatusCode.UNAVAILABLE, reason="IDEMPOTENCY_IN_PROGRESS")


class CallsTest(BrokerTestCase):
    def setUp(self):
        super().setUp()
        self.client = sala.Client(self.broker.address, key=KEY)
        self.addCleanup(self.client.close)
        patch = mock.patch.object(_transport, "pause_before", lambda attempt: 0.001)
        patch.start()
        self.addCleanup(patch.stop)

    def requests(self):
        return [request for request, _ in self.broker.calls]

    def test_an_emit_says_what_was_asked_and_what_happened(self):
        position = room_pb2.RoomPosition(room="a", epoch="e", offset=7)
        self.broker.answers.append(
            message_pb2.EmitResponse(
                matched=3, queued=1, kept=1, dropped=1, partial=True, missing_nodes=["n1"],
                positions=[position], unrecorded_rooms=["b"],
            )
        )  # fmt: skip
        report = self.client.emit(
            "news", {"text": "hé"}, b"x", rooms="a", users=[7, "ana"], except_sockets=["s"],
            volatile=True, conflate_key="c", skip_history=True,
        )  # fmt: skip
        (request, metadata), *_ = self.broker.calls
        self.assertEqual(metadata["authorization"], f"Bearer {KEY}")
        self.assertEqual(request.args_json, '[{"text":"hé"},{"_placeholder":true,"num":0}]')
        self.assertEqual(list(request.attachments), [b"x"])
        self.assertEqual((list(request.rooms), list(request.users)), (["a"], ["7", "ana"]))
        self.assertEqual((request.volatile, request.conflate_key), (True, "c"))
        self.assertEqual((report.matched, report.missing_nodes), (3, ["n1"]))
        self.assertTrue(report.partial)
        self.assertEqual(report.positions, [sala.types.RoomPosition("a", "e", 7)])
        self.assertEqual(report.unrecorded_rooms, ["b"])

    def test_an_emit_is_repeated_with_the_same_key(self):
        self.broker.answers.extend([UNAVAILABLE, UNAVAILABLE])
        self.client.emit("news", rooms="a")
        keys = {request.idempotency_key for request in self.requests()}
        self.assertEqual(len(self.requests()), 3)
        self.assertEqual(len(keys), 1)
        self.assertGreaterEqual(len(keys.pop()), 16)
        self.client.emit("news", rooms="a", idempotency_key="mine")
        self.assertEqual(self.requests()[-1].idempotency_key, "mine")

    def test_an_emit_without_retry_has_no_key_and_one_attempt(self):
        self.broker.answers.append(UNAVAILABLE)
        with self.assertRaises(sala.Unavailable) as raised:
            self.client.emit("news", rooms="a", retry=False)
        self.assertEqual(raised.exception.reason, "IDEMPOTENCY_IN_PROGRESS")
        self.assertEqual([request.idempotency_key for request in self.requests()], [""])

    def test_an_emit_works_where_keys_are_turned_off(self):
        off = Failure(grpc.StatusCode.FAILED_PRECONDITION, reason="IDEMPOTENCY_DISABLED")
        self.broker.answers.append(off)
        self.client.broadcast("news")
        self.assertEqual([bool(r.idempotency_key) for r in self.requests()], [True, False])
        self.broker.answers.append(off)
        with self.assertRaises(sala.FailedPrecondition):
            self.client.broadcast("news", idempotency_key="mine")

    def test_calls_that_are_not_safe_to_repeat_are_not_repeated(self):
        self.broker.answers.append(UNAVAILABLE)
        with self.assertRaises(sala.Unavailable):
            self.client.clear_room("a", "closed")
        self.assertEqual(len(self.broker.calls), 1)
        self.broker.answers.append(UNAVAILABLE)
        self.client.get_room("a")
        self.assertEqual(len(self.broker.calls), 3)

    def test_an_exhausted_limit_is_retried_only_if_the_broker_says_when(self):
        exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
        self.broker.answers.append(Failure(exhausted, reason="TOO_MANY_REQUESTS"))
        with self.assertRaises(sala.ResourceExhausted) as raised:
            self.client.get_room("a")
        self.assertIsNone(raised.exception.retry_after)
        self.broker.answers.append(Failure(exhausted, reason="RATE_LIMITED", retry_after=0.01))
        self.client.get_room("a")
        self.broker.answers.append(Failure(exhausted, reason="RATE_LIMITED", retry_after=60))
        with self.assertRaises(sala.ResourceExhausted) as raised:  # it can't succeed in time
            self.client.get_room("a")
        self.assertEqual(raised.exception.retry_after, 60)

    def test_an_attempt_that_hangs_is_given_up_for_another(self):
        def hang(request, context):
            ended = threading.Event()
            context.add_callback(ended.set)
            ended.wait(WAIT)
            return room_pb2.GetRoomResponse()

        self.broker.answers.append(hang)
        with mock.patch.object(_transport, "_ATTEMPT_TIME", 0.2):
            self.assertEqual(self.client.get_room("a").name, "a")
        self.broker.answers.extend([hang] * 3)
        with self.assertRaises(sala.DeadlineExceeded):
            self.client.get_room("a", timeout=0.2)

    def test_nobody_answers(self):
        self.broker.server.stop(0).wait()
        with self.assertRaises(sala.Unavailable) as raised:
            self.client.get_room("a", timeout=0.3)
        self.assertEqual(raised.exception.reason, "")

    def test_errors_have_their_class_reason_and_fields(self):
        for code, cls in (
            (grpc.StatusCode.INVALID_ARGUMENT, sala.InvalidArgument),
            (grpc.StatusCode.UNAUTHENTICATED, sala.Unauthenticated),
            (grpc.StatusCode.PERMISSION_DENIED, sala.PermissionDenied),
            (grpc.StatusCode.NOT_FOUND, sala.NotFound),
            (grpc.StatusCode.FAILED_PRECONDITION, sala.FailedPrecondition),
            (grpc.StatusCode.INTERNAL, sala.Error),
        ):
            fields = [("rooms[0]", "is empty"), ("event", "is reserved")]
            self.broker.answers.append(Failure(code, "no", "WHY", violations=fields))
            with self.subTest(code=code), self.assertRaises(cls) as raised:
                self.client.emit("news", rooms="a")
            err = raised.exception
            self.assertEqual((err.code, err.reason, str(err)), (code.name, "WHY", "no (WHY)"))
            self.assertEqual([(v.field, v.description) for v in err.violations], fields)
            self.assertEqual(err.metadata, {"why": "WHY"})

    def test_a_list_says_which_nodes_are_missing(self):
        room = room_pb2.Room
        self.broker.pages = {
            "": room_pb2.ListRoomsResponse(
                rooms=[room(name="a"), room(name="b")], next_page_token="2"
            ),
            "2": room_pb2.ListRoomsResponse(next_page_token="3"),  # an empty page isn't the end
            "3": room_pb2.ListRoomsResponse(
                rooms=[room(name="c")], partial=True, missing_nodes=["n"]
            ),
        }
        rooms = self.client.list_rooms()
        self.assertEqual([room.name for room in rooms], ["a", "b", "c"])
        self.assertEqual((rooms.partial, rooms.missing_nodes), (True, ["n"]))

    def test_acks_come_with_a_summary(self):
        report = self.client.emit_with_ack("ask", rooms="a", ack_timeout=2)
        self.assertEqual([(ack.socket, ack.args) for ack in report.acks], [("s1", [{"ok": True}])])
        self.assertEqual((report.expected, report.answered, report.timed_out), (2, 1, 1))
        self.assertEqual(self.requests()[0].timeout.seconds, 2)

    def test_the_stubs_carry_the_key(self):
        stub = self.client.stub(message_pb2_grpc.MessageServiceStub)
        self.assertEqual(stub.Emit(message_pb2.EmitRequest(event="x")).matched, 1)
        self.assertEqual(self.broker.calls[0][1]["authorization"], f"Bearer {KEY}")

    def test_threads_share_a_client(self):
        with ThreadPoolExecutor(16) as pool:
            reports = list(pool.map(lambda n: self.client.emit("n", n, rooms="a"), range(100)))
        self.assertEqual(len(reports), 100)
        self.assertEqual(len({request.idempotency_key for request in self.requests()}), 100)

    def test_close_ends_calls(self):
        begun = threading.Event()

        def hang(request, context):
            begun.set()
            ended = threading.Event()
            context.add_callback(ended.set)
            ended.wait(WAIT)

        self.broker.answers.append(hang)
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(self.client.get_room, "a", timeout=WAIT)
            self.assertTrue(begun.wait(WAIT))
            self.client.close()
            with self.assertRaises(sala.Cancelled):
                call.result()
        with self.assertRaises(sala.Cancelled):
            self.client.get_room("a")
        self.client.close()

    def test_a_client_that_is_collected_in_its_own_thread_closes(self):
        clients = [sala.Client(self.broker.address, key=KEY)]
        clients[0].get_room("a")
        runtime = clients[0]._runtime
        thread = runtime._thread

        async def forget():
            clients.clear()

        runtime.submit(forget())
        thread.join(WAIT)
        self.assertFalse(thread.is_alive())

    def test_a_client_that_was_never_used_closes(self):
        before = threading.active_count()
        with sala.Client(self.broker.address, key=KEY):
            self.assertEqual(threading.active_count(), before)

    def test_asyncio(self):
        async def main():
            async with sala.aio.Client(self.broker.address, key=KEY) as client:
                self.broker.answers.append(UNAVAILABLE)
                report = await client.emit("news", rooms="a")
                self.broker.pages = {
                    "": room_pb2.ListRoomsResponse(rooms=[room_pb2.Room(name="a")])
                }
                rooms = [room.name async for room in client.list_rooms()]
                acks = await client.emit_with_ack("ask", rooms="a")
                stub = client.stub(message_pb2_grpc.MessageServiceStub)
                raw = await stub.Emit(message_pb2.EmitRequest(event="x"))
                return report.matched, rooms, acks.answered, raw.matched

        self.assertEqual(asyncio.run(main()), (1, ["a"], 1, 1))

    def test_closing_is_no_cancellation_of_the_callers_task(self):
        for make_call in (
            lambda client: client.get_room("a", timeout=WAIT),
            lambda client: client.emit_with_ack("ask", rooms="a", ack_timeout=WAIT),
        ):
            with self.subTest(make_call):
                self.close_during(make_call)

    def close_during(self, make_call):
        async def main():
            client = sala.aio.Client(self.broker.address, key=KEY)
            begun = asyncio.Event()
            loop = asyncio.get_running_loop()

            def hang(request, context):
                loop.call_soon_threadsafe(begun.set)
                ended = threading.Event()
                context.add_callback(ended.set)
                ended.wait(WAIT)

            self.broker.answers.append(hang)
            call = asyncio.create_task(make_call(client))
            await begun.wait()
            await client.close()
            with self.assertRaises(sala.Cancelled):
                await call

        asyncio.run(main())


class BackoffTest(BrokerTestCase):
    def test_pauses_double_up_to_five_seconds_with_full_jitter(self):
        for attempt, longest in ((1, 0.1), (2, 0.2), (5, 1.6), (7, 5), (1000, 5)):
            pauses = [_transport.pause_before(attempt) for _ in range(200)]
            self.assertTrue(all(0 <= pause <= longest for pause in pauses))
            self.assertGreater(max(pauses), longest / 2)
            self.assertLess(min(pauses), longest / 2)

    def test_a_call_is_repeated_until_it_succeeds(self):
        client = sala.Client(self.broker.address, key=KEY)
        self.addCleanup(client.close)
        self.broker.answers.extend([UNAVAILABLE] * 3)
        client.get_room("a")
        self.assertEqual(len(self.broker.calls), 4)
