"""What a server that forks its workers meets, such as gunicorn with --preload."""

import subprocess
import sys
from pathlib import Path

from tests.fake import WAIT, BrokerTestCase

SRC = str(Path(__file__).parents[1] / "src")

PROGRAM = """
import os, sys, sala

broker = sala.Client(sys.argv[1], key="k")
if sys.argv[2] == "used":
    broker.get_room("before")
pid = os.fork()
if pid == 0:
    try:
        print(broker.get_room("after").name, flush=True)
    except RuntimeError as err:
        print(err, flush=True)
    finally:
        os._exit(0)
os.waitpid(pid, 0)
print(broker.get_room("parent").name, flush=True)
"""


class ForkTest(BrokerTestCase):
    def run_program(self, when):
        command = [sys.executable, "-c", PROGRAM, self.broker.address, when]
        env = {"PYTHONPATH": SRC}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=WAIT)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.splitlines()

    def test_a_client_that_was_not_used_works_in_the_child(self):
        self.assertEqual(self.run_program("unused"), ["after", "parent"])

    def test_a_client_that_was_used_says_what_is_wrong(self):
        child, parent = self.run_program("used")
        self.assertIn("used before the process forked", child)
        self.assertEqual(parent, "parent")
