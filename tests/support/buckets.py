"""A server that speaks S3, in a process of its own: its buckets are directories."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

READY_SECONDS = 30.0


class Bucket:
    """A bucket, whose server can be stopped and started again on the same port."""

    def __init__(self, directory: Path, port: int) -> None:
        self.files = directory / "kept"
        self.files.mkdir(parents=True)
        self.address = "s3://kept"
        self.endpoint = f"http://127.0.0.1:{port}"
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Serve; returns when it answers."""
        command = [sys.executable, "-m", "localbucket", str(self.files.parent)]
        self._process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(self._port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
            except OSError:
                assert self._process.poll() is None, "the bucket's server has ended"
                assert time.monotonic() < deadline, "the bucket's server does not answer"
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """Be gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def objects(self) -> list[str]:
        """Names of all objects."""
        return sorted(
            str(path.relative_to(self.files))
            for path in self.files.rglob("*")
            if path.is_file() and not path.name.startswith(".")
        )


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def running_bucket(directory: Path) -> Iterator[Bucket]:
    """A bucket that is served, and credentials for it in the environment."""
    names = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "a-secret-of-tests",
        "AWS_REGION": "us-east-1",
    }
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    bucket = Bucket(directory, free_port())
    try:
        bucket.start()
        yield bucket
    finally:
        bucket.stop()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
