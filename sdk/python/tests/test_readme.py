"""The snippets of the README that are no programs of their own: those are run by e2e."""

import contextlib
import io
import re
from pathlib import Path

import grpc

import sala
from sala.v1 import message_pb2
from tests.fake import KEY, BrokerTestCase, Failure

README = Path(__file__).parent.parent / "README.md"


class ReadmeTest(BrokerTestCase):
    def test_its_snippets_run(self):
        snippets = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.M | re.S)
        parts = [snippet for snippet in snippets if ".run(" not in snippet]
        self.assertEqual(len(parts), 3)
        client = sala.Client(self.broker.address, key=KEY)
        self.addCleanup(client.close)
        sent = message_pb2.EmitResult(matched=1, queued=1)

        def stream(requests, context):
            for request in requests:
                yield message_pb2.EmitStreamResponse(sequence=request.sequence, result=sent)

        self.broker.emit_streams.append(stream)
        names = {"sala": sala, "broker": client, "socket_id": "s1", "image_bytes": b"png"}
        for snippet in parts:
            if "emit_batch" in snippet:
                answer = message_pb2.EmitBatchResponse(results=[sent, sent])
                self.broker.answers.append(answer)
            if "get_room" in snippet:
                missing = Failure(grpc.StatusCode.NOT_FOUND, reason="ROOM_NOT_FOUND")
                self.broker.answers.append(missing)
            with self.subTest(snippet), contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(snippet, names)
            self.assertTrue(printed.getvalue())
