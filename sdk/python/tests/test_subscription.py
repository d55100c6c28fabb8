import asyncio
import json
import threading
import time
import unittest
from unittest import mock

import grpc

import sala
import sala.aio
from sala import _subscriber
from sala.v1 import event_pb2
from tests.fake import END, KEY, WAIT, BrokerTestCase, Failure

EXHAUSTED = Failure(grpc.StatusCode.RESOURCE_EXHAUSTED)
CANCELLED = Failure(grpc.StatusCode.CANCELLED)  # by a proxy; only the program's own wish is final
LOST = Failure(grpc.StatusCode.UNAVAILABLE, "the broker is gone", "DRAINING")


class SubscriptionTestCase(BrokerTestCase):
    """A test with a client and a subscription that runs in the background."""

    def setUp(self):
        super().setUp()
        self.client = sala.Client(self.broker.address, key=KEY)
        self.addCleanup(self.client.close)
        patch = mock.patch.object(_subscriber, "pause_before", lambda attempt: 0.001)
        patch.start()
        self.addCleanup(patch.stop)

    def subscribe(self, **options):
        self.chat = self.client.subscription("chat", **options)
        return self.chat

    def start(self):
        self.chat.start()
        self.addCleanup(self.chat.stop)
        stream = self.broker.stream()
        self.first = stream.start()
        return stream


class AnswersTest(SubscriptionTestCase):
    def test_what_a_handler_returns_is_the_ack(self):
        chat = self.subscribe()
        chat.on("value", lambda event, *args: {"args": args})
        chat.on("nothing", lambda event: None)
        chat.on("null", lambda event: sala.Ack(None))
        chat.on("several", lambda event, a, b: (b, a))
        chat.on("binary", lambda event, data: {"data": data})
        stream = self.start()
        placeholder = '[{"data":{"_placeholder":true,"num":0}}]'
        for event, args, more, answer, attachments in (
            ("value", '[1,"two"]', {}, '[{"args":[1,"two"]}]', []),
            ("nothing", "", {}, "[]", []),
            ("null", "[]", {}, "[null]", []),
            ("several", "[1,2]", {}, "[2,1]", []),
            (
                "binary",
                '[{"_placeholder":true,"num":0}]',
                {"attachments": [b"x"]},
                placeholder,
                [b"x"],
            ),
        ):
            with self.subTest(event=event):
                stream.event(event, event, args, **more)
                reply = stream.next_answer()
                self.assertEqual(reply.delivery_id, event)
                self.assertEqual((reply.args_json, list(reply.attachments)), (answer, attachments))
                self.assertFalse(reply.HasField("error"))

    def test_what_a_handler_raises_is_the_error(self):
        chat = self.subscribe()

        @chat.on("refuse")
        def refuse(event):
            raise sala.ClientError("NOT_ALLOWED", "not you")

        @chat.on("crash")
        def crash(event):
            raise RuntimeError("the secret")

        chat.on("unsendable", lambda event: object())
        chat.on("one", lambda event, text: text)
        stream = self.start()
        for event, args, code, message, logged in (
            ("refuse", "[]", "NOT_ALLOWED", "not you", False),
            ("crash", "[]", "HANDLER_FAILED", "the backend's handler has failed", True),
            ("unsendable", "[]", "HANDLER_FAILED", "the backend's handler has failed", True),
            ("one", "[]", "INVALID_ARGUMENT", "the event one doesn't take 0 arguments", False),
            ("one", "[1,2]", "INVALID_ARGUMENT", "the event one doesn't take 2 arguments", False),
            ("one", "[" * 50_000, "INVALID_ARGUMENT", "the arguments are nested too deeply", False),
        ):
            with self.subTest(event=event, args=args[:5]):
                with self.assertLogs("sala", "WARNING") as logs:
                    _subscriber.log.warning("begun")  # assertLogs wants a line
                    stream.event(event, event, args)
                    reply = stream.next_answer()
                self.assertEqual((reply.error.code, reply.error.message), (code, message))
                self.assertEqual(len(logs.output) - 1, logged)
                if logged:
                    line = f"a handler has failed group='chat' kind='message' event='{event}'"
                    self.assertIn(f"{line} delivery='{event}'\n", logs.output[1])

    def test_decisions(self):
        chat = self.subscribe()
        users = iter(["nothing", "accept", "refuse", "crash", "false"])

        @chat.decide
        def decide(event):
            self.assertEqual(event.kind, "connect")
            match next(users):
                case "accept":
                    return sala.Accept(["lobby"], {"plan": "pro"})
                case "refuse":
                    raise sala.Refuse("BANNED", "you are banned")
                case "crash":
                    raise RuntimeError("the secret")
                case "false":
                    return False
            return None

        stream = self.start()
        self.assertTrue(self.first.decide)
        self.assertEqual(list(self.first.kinds), [event_pb2.EVENT_KIND_CONNECT])

        def decision(delivery_id):
            stream.event(
                delivery_id, kind=event_pb2.EVENT_KIND_CONNECT, needs_ack=False, needs_decision=True
            )
            return stream.next_answer()

        self.assertEqual(decision("1"), event_pb2.EventDecision(delivery_id="1", accept={}))
        accepted = decision("2").accept
        self.assertEqual(list(accepted.rooms), ["lobby"])
        self.assertEqual(accepted.data.struct_value.fields["plan"].string_value, "pro")
        self.assertEqual(decision("3").refuse.code, "BANNED")
        with self.assertLogs("sala", "ERROR"):
            self.assertEqual(decision("4").refuse.code, "HANDLER_FAILED")
        with self.assertLogs("sala", "ERROR"):
            self.assertEqual(decision("5").refuse.code, "HANDLER_FAILED")

    def test_only_what_has_handlers_is_asked_for(self):
        chat = self.subscribe(namespaces=["/a"], concurrency=3)
        chat.on("b", print)
        chat.on("a", print)
        chat.on_away(print)
        chat.on_user_left(print)
        self.start()
        self.assertEqual((self.first.group, list(self.first.namespaces)), ("chat", ["/a"]))
        self.assertEqual(list(self.first.events), ["a", "b"])
        kinds = ["EVENT_KIND_MESSAGE", "EVENT_KIND_AWAY", "EVENT_KIND_USER_LEFT"]
        self.assertEqual([event_pb2.EventKind.Name(kind) for kind in self.first.kinds], kinds)
        self.assertEqual((self.first.credits, self.first.decide), (6, False))

    def test_the_other_kinds(self):
        seen = []
        chat = self.subscribe()
        chat.on_disconnect(lambda event: seen.append((event.kind, event.user, event.reason)))
        chat.on_user_joined(lambda event: seen.append((event.kind, event.user, event.room)))
        chat.on("*", lambda event, *args: event.name)
        stream = self.start()
        self.assertEqual(list(self.first.events), [])
        kind = event_pb2.EVENT_KIND_DISCONNECT
        stream.event("1", kind=kind, needs_ack=False, reason="ping timeout")
        stream.await_credits(1)
        kind = event_pb2.EVENT_KIND_USER_JOINED
        stream.event("2", kind=kind, needs_ack=False, socket=None, user="ben", room="r")
        stream.await_credits(2)
        stream.event("3", kind=99, needs_ack=False)  # of a later release
        stream.event("4", "anything", "[1]")
        self.assertEqual(stream.next_answer().args_json, '["anything"]')
        self.assertEqual(seen, [("disconnect", "ana", "ping timeout"), ("user_joined", "ben", "r")])

    def test_an_event_emits_to_its_socket_and_to_rooms(self):
        chat = self.subscribe()

        @chat.on("say")
        def say(event, text):
            event.emit("thanks", text)
            event.emit_to("lobby", "said", text, include_self=False)

        self.start().event("1", "say", '["hi"]', namespace="/chat")
        while len(self.broker.calls) < 2:
            time.sleep(0.001)
        back, on = [request for request, _ in self.broker.calls]
        self.assertEqual(
            (list(back.sockets), back.namespace, back.event), (["s1"], "/chat", "thanks")
        )
        self.assertEqual((list(on.rooms), list(on.except_sockets)), (["lobby"], ["s1"]))

    def test_an_answer_that_the_broker_cannot_take_is_replaced_once(self):
        chat = self.subscribe()
        chat.on("say", lambda event: "too large")
        chat.decide(lambda event: sala.Accept(rooms=["?"]))
        rejected = threading.Semaphore(0)
        chat.on_rejected(lambda report: rejected.release())
        stream = self.start()
        with self.assertLogs("sala", "WARNING"):
            stream.event("1", "say")
            self.assertEqual(stream.next_answer().args_json, '["too large"]')
            for reason in ("REQUEST_TOO_LARGE", "INVALID_ARGUMENT"):
                stream.send(rejected={"delivery_id": "1", "reason": reason})
            failure = stream.next_answer().error
            self.assertEqual(failure.code, "HANDLER_FAILED")
            stream.event("2", kind="EVENT_KIND_CONNECT", needs_decision=True, needs_ack=False)
            self.assertEqual(list(stream.next_answer().accept.rooms), ["?"])
            for reason in ("DELIVERY_EXPIRED", "INVALID_ARGUMENT"):
                stream.send(rejected={"delivery_id": "2", "reason": reason})
            self.assertEqual(stream.next_answer().refuse, failure)
            for _ in range(4):
                self.assertTrue(rejected.acquire(timeout=WAIT))

    def test_a_rejected_answer_is_reported(self):
        rejected = threading.Event()
        chat = self.subscribe()
        chat.on("say", lambda event: None)

        @chat.on_rejected
        def on_rejected(report):
            if report == sala.Rejected("7", "DELIVERY_EXPIRED", "too late"):
                rejected.set()

        stream = self.start()
        with self.assertLogs("sala", "WARNING"):
            answer = {"delivery_id": "7", "reason": "DELIVERY_EXPIRED", "message": "too late"}
            stream.send(rejected=event_pb2.EventRejected(**answer))
            self.assertTrue(rejected.wait(WAIT))


class OrderTest(SubscriptionTestCase):
    def test_a_sockets_events_are_handled_in_order_and_sockets_at_the_same_time(self):
        seen = {"a": [], "b": []}
        both = threading.Barrier(2, timeout=WAIT)
        chat = self.subscribe(concurrency=2)

        @chat.on("say")
        def say(event, n):
            if n == 0:
                both.wait()  # passes only if both sockets are handled at the same time
            seen[event.socket.id].append(n)

        stream = self.start()
        for n in range(20):
            for socket in "ab":
                stream.event(f"{socket}{n}", args=f"[{n}]", socket=socket)
        for _ in range(40):
            stream.next_answer()
        self.assertEqual(seen, {"a": list(range(20)), "b": list(range(20))})

    def test_concurrency_and_credits_bound_the_handlers(self):
        running, most = set(), []
        release = threading.Semaphore(0)
        begun = threading.Semaphore(0)
        chat = self.subscribe(concurrency=3, credits=5)

        @chat.on("say")
        def say(event):
            running.add(event.socket.id)
            most.append(len(running))
            begun.release()
            release.acquire()
            running.discard(event.socket.id)

        stream = self.start()
        self.assertEqual(self.first.credits, 5)
        for n in range(5):
            stream.event(str(n), socket=f"s{n}")
        for _ in range(3):
            self.assertTrue(begun.acquire(timeout=WAIT))
        self.assertTrue(stream.requests.empty())  # no credit without an answer
        for n in range(5):
            release.release()
            stream.next_answer()
        self.assertEqual(max(most), 3)
        stream.await_credits(5)


class ReconnectTest(SubscriptionTestCase):
    def setUp(self):
        super().setUp()
        self.reconnects = []
        self.again = threading.Event()
        self.handled = []
        self.entered = threading.Semaphore(0)
        self.release = threading.Semaphore(0)
        chat = self.subscribe(concurrency=4, credits=10)

        @chat.on_reconnect
        def on_reconnect(report):
            self.reconnects.append(report)
            self.again.set()

        @chat.on("hold")
        def hold(event):
            self.handled.append(event.delivery_id)
            self.entered.release()
            self.release.acquire()
            return event.delivery_id

        chat.on("say", lambda event: self.handled.append(event.delivery_id))

    def test_a_stream_that_breaks_is_replaced_and_reported(self):
        with self.assertLogs("sala", "WARNING") as logs:
            first = self.start()
            first.event("1", "hold")
            self.assertTrue(self.entered.acquire(timeout=WAIT))
            first.end(LOST)
            second = self.broker.stream()
            self.assertEqual(second.next().start.credits, 9)  # one event is still being handled
            self.release.release()
            second.await_credits(1)  # its credit, and no answer: it isn't its delivery
            second.send(started=event_pb2.SubscribeStarted())
            self.assertTrue(self.again.wait(WAIT))
        (report,) = self.reconnects
        self.assertEqual((report.cause.reason, report.undelivered), ("DRAINING", 1))
        self.assertGreater(report.gap, 0)
        self.assertTrue(any("the broker is gone" in line for line in logs.output), logs.output)
        second.event("2", "say")
        self.assertEqual(second.next_answer().delivery_id, "2")

    def test_an_event_that_comes_back_is_not_handled_again(self):
        with self.assertLogs("sala", "WARNING"):
            first = self.start()
            first.event("running", "hold", socket="a")
            first.event("done", "say", socket="b")
            self.assertTrue(self.entered.acquire(timeout=WAIT))
            self.assertEqual(first.next_answer().delivery_id, "done")
            first.end(LOST)
            second = self.broker.stream()
            second.start()
            second.event("running", "hold", socket="a", redelivered=True)
            second.event("done", "say", socket="b", redelivered=True)
            self.assertEqual(second.next_answer().delivery_id, "done")
            self.release.release()
            answer = second.next_answer()
        self.assertEqual((answer.delivery_id, answer.args_json), ("running", '["running"]'))
        self.assertEqual(sorted(self.handled), ["done", "running"])
        # A redelivered event that this program doesn't know is handled.
        second.event("other", "say", redelivered=True)
        self.assertEqual(second.next_answer().delivery_id, "other")
        # One for each delivery at this stream, and one for that of the first that was being handled.
        second.await_credits(4)

    def test_it_tries_again_until_a_stream_starts(self):
        with self.assertLogs("sala", "WARNING"):
            self.chat.start()
            self.addCleanup(self.chat.stop)
            for failure in (LOST, EXHAUSTED, CANCELLED, END):
                self.broker.stream().end(failure)
            stream = self.broker.stream()
            stream.start()
            stream.event("1", "say")
            self.assertEqual(stream.next_answer().delivery_id, "1")
        self.assertEqual(self.reconnects, [])  # no stream had started before

    def test_what_can_not_heal_ends_the_subscription(self):
        for code, cls in (
            (grpc.StatusCode.UNAUTHENTICATED, sala.Unauthenticated),
            (grpc.StatusCode.PERMISSION_DENIED, sala.PermissionDenied),
            (grpc.StatusCode.INVALID_ARGUMENT, sala.InvalidArgument),
        ):
            with self.subTest(code=code):
                chat = self.client.subscription("chat")
                chat.on("say", print)
                chat.start()
                self.broker.stream().end(Failure(code, reason="WHY"))
                with self.assertRaises(cls) as raised:
                    chat.wait()
                self.assertEqual(raised.exception.reason, "WHY")
                chat.stop()


class StopTest(SubscriptionTestCase):
    def test_it_leaves_gracefully(self):
        entered, release = threading.Event(), threading.Event()
        seen = []
        chat = self.subscribe()

        @chat.on("hold")
        def hold(event):
            entered.set()
            release.wait(WAIT)
            return "done"

        chat.on("say", lambda event: seen.append(event.delivery_id))
        stream = self.start()
        stream.keep_open = True
        stream.event("1", "hold")
        self.assertTrue(entered.wait(WAIT))
        stopping = threading.Thread(target=chat.stop)
        stopping.start()
        stream.event("2", "say", socket="other")  # still handled: the sending side is open
        self.assertEqual(stream.next_answer().delivery_id, "2")
        release.set()
        self.assertEqual(stream.next().reply.args_json, '["done"]')
        self.assertIsNone(stream.next())  # no credit, and then the end
        stream.event("3", "say")  # another member gets it
        stream.event("4", "say", needs_ack=False)
        stream.end()
        chat.wait()
        stopping.join(WAIT)
        self.assertEqual(seen, ["2", "4"])

    def test_the_grace_time_ends(self):
        release = threading.Event()
        self.addCleanup(release.set)
        entered = threading.Event()
        chat = self.subscribe(grace=0.05)
        chat.on("hold", lambda event: (entered.set(), release.wait(WAIT)))
        stream = self.start()
        stream.event("1", "hold")
        self.assertTrue(entered.wait(WAIT))
        with self.assertLogs("sala", "WARNING"), mock.patch.object(_subscriber, "_END_TIME", 0.05):
            chat.stop()
        self.assertIsNone(stream.next())

    def test_it_stops_while_nobody_answers(self):
        chat = self.subscribe()
        chat.on("say", print)
        chat.start()
        self.broker.stream()
        chat.stop()
        chat.wait()
        self.broker.server.stop(0).wait()
        chat = self.subscribe()
        chat.on("say", print)
        chat.start()
        chat.stop()
        chat.wait()

    def test_a_handler_may_stop_it(self):
        chat = self.subscribe()
        chat.on("quit", lambda event: chat.stop(wait=False))
        stream = self.start()
        stream.event("1", "quit")
        self.assertEqual(stream.next_answer().delivery_id, "1")
        stream.end()
        chat.wait()

    def test_closing_the_client_ends_it(self):
        chat = self.subscribe()
        chat.on("say", print)
        self.start()
        self.client.close()
        chat.wait()


class RegistrationTest(SubscriptionTestCase):
    def test_mistakes_are_errors_at_once(self):
        chat = self.subscribe()
        with self.assertRaises(ValueError):
            chat.start()  # without a handler
        chat.on("say", print)
        with self.assertRaises(ValueError):
            chat.on("say", print)
        with self.assertRaises(ValueError):
            chat.on("")
        with self.assertRaises(TypeError):
            chat.on("x", 7)  # type: ignore[type-var]

        async def coroutine(event):
            pass

        with self.assertRaises(TypeError):
            chat.on("x", coroutine)
        with self.assertRaises(RuntimeError):
            chat.wait()
        self.start()
        with self.assertRaises(RuntimeError):
            chat.on("late", print)
        with self.assertRaises(RuntimeError):
            chat.start()
        for options in ({"concurrency": 0}, {"credits": 0}, {"credits": 100_001}, {"grace": -1}):
            with self.subTest(**options), self.assertRaises(ValueError):
                self.client.subscription(**options)

    def test_a_decorator_leaves_the_function_as_it_is(self):
        chat = self.subscribe()

        @chat.on("say")
        @chat.on_connect
        def handle(event):
            return 7

        self.assertEqual(handle(None), 7)


class AsyncioTest(BrokerTestCase, unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        super().setUp()
        self.client = sala.aio.Client(self.broker.address, key=KEY)
        self.entered = asyncio.Event()
        self.release = asyncio.Event()
        self.chat = self.client.subscription("chat")

    async def asyncTearDown(self):
        await self.client.close()

    async def start(self):
        self.running = asyncio.create_task(self.chat.run())
        stream = await asyncio.to_thread(self.broker.stream)
        await asyncio.to_thread(stream.start)
        return stream

    def hold(self):
        @self.chat.on("hold")
        async def hold(event):
            self.entered.set()
            await self.release.wait()
            return "done"

    async def test_functions_and_coroutine_functions_are_handlers(self):
        @self.chat.on("say")
        async def say(event, text):
            await event.emit("thanks", text)
            return {"text": text}

        self.chat.on("plain", lambda event: "plain")
        stream = await self.start()
        stream.event("1", "say", '["hi"]')
        stream.event("2", "plain", socket="other")
        answers = [await asyncio.to_thread(stream.next_answer) for _ in range(2)]
        texts = {answer.delivery_id: json.loads(answer.args_json) for answer in answers}
        self.assertEqual(texts, {"1": [{"text": "hi"}], "2": ["plain"]})
        self.chat.stop()
        self.assertIsNone(await self.after_credits(stream))
        stream.end()
        await self.running
        with self.assertRaises(RuntimeError):
            await self.chat.run()

    async def after_credits(self, stream):
        while request := await asyncio.to_thread(stream.next):
            self.assertTrue(request.HasField("credit"))
        return request

    async def test_a_cancelled_task_leaves_gracefully(self):
        self.hold()
        stream = await self.start()
        stream.event("1", "hold")
        await self.entered.wait()
        self.running.cancel()
        await asyncio.sleep(0)
        self.release.set()
        self.assertEqual((await asyncio.to_thread(stream.next)).reply.args_json, '["done"]')
        self.assertIsNone(await asyncio.to_thread(stream.next))
        stream.end()
        with self.assertRaises(asyncio.CancelledError):
            await self.running

    async def test_a_task_that_is_cancelled_twice_ends_at_once(self):
        self.hold()
        stream = await self.start()
        stream.event("1", "hold")
        await self.entered.wait()
        self.running.cancel()
        await asyncio.sleep(0)
        self.running.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await self.running


class MemoryTest(unittest.TestCase):
    def test_old_answers_are_forgotten(self):
        memory = _subscriber._Memory()

        def add(delivery_id, size):
            delivery = _subscriber._Delivery(None, None)
            memory.add(delivery_id, delivery)
            reply = event_pb2.EventReply(args_json="x" * size)
            delivery.answer = event_pb2.SubscribeRequest(reply=reply)
            memory.answered(delivery)

        running = _subscriber._Delivery(None, None)
        memory.add("running", running)
        for n in range(_subscriber._REMEMBERED_DELIVERIES + 10):
            add(str(n), 10)
        self.assertIsNone(memory.get("10"))
        self.assertIsNotNone(memory.get("11"))
        self.assertIs(memory.get("running"), running)
        for n in range(40):
            add(f"large {n}", 1 << 20)
        self.assertIsNone(memory.get("large 0"))
        self.assertIsNotNone(memory.get("large 39"))
        self.assertLessEqual(memory._bytes, _subscriber._REMEMBERED_BYTES)
