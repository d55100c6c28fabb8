import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]

PROGRAM = """
import importlib.metadata, pathlib, sala, sala.aio
from sala.v1 import cluster_pb2_grpc

broker = sala.Client("127.0.0.1:1", key="k")
try:
    broker.get_room("x", timeout=0.1)
except sala.Unavailable:
    folder = pathlib.Path(sala.__file__).parent
    typed = (folder / "py.typed").exists() and (folder / "v1" / "room_pb2.pyi").exists()
    print(folder.is_relative_to(pathlib.Path(__import__("sys").prefix)), typed)
    print(importlib.metadata.version("salabroker"))
"""


class WheelTest(unittest.TestCase):
    def test_the_wheel_works_in_an_empty_environment(self):
        with tempfile.TemporaryDirectory() as folder:

            def run(*command):
                env = {**os.environ, "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
                done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                return done.stdout

            source = Path(folder, "source")  # setuptools leaves its work in the source
            shutil.copytree(
                ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__")
            )
            for name in ("pyproject.toml", "README.md", "LICENSE"):
                shutil.copy(ROOT / name, source)
            pip = (sys.executable, "-m", "pip")
            run(*pip, "wheel", "-q", "--no-build-isolation", "--no-deps", "-w", folder, str(source))
            (wheel,) = Path(folder).glob("salabroker-*.whl")
            with zipfile.ZipFile(wheel) as packed:
                (licence,) = [name for name in packed.namelist() if name.endswith("/LICENSE")]
                self.assertEqual(packed.read(licence), (ROOT.parents[1] / "LICENSE").read_bytes())
            run(sys.executable, "-m", "venv", "--system-site-packages", "--without-pip", "venv")
            python = Path(folder, "venv", "bin", "python")
            run(str(python), "-m", "pip", "install", "-q", "--no-deps", str(wheel))
            self.assertEqual(run(str(python), "-c", PROGRAM), "True True\n0.1.0\n")
