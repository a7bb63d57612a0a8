"""Simulated clients that chat during the test, and the checker of crates/chaos at its end."""

import os
import re
import subprocess
import threading
import time
from pathlib import Path

from engine import ENVIRONMENT, LOGS, PORT, Failed, address, check, compose, containers, wait_until

# Built by `make test-compose`.
CHAOS = str(Path(os.environ.get("CARGO_TARGET_DIR") or "target", "debug", "chaos"))
FINISHING_DEADLINE = 180


class Load:
    """Runs from its construction until it is finished or killed."""

    def __init__(self):
        password = compose("exec", "-T", "postgres", "cat", "/run/secrets/password").strip()
        host = address(containers("postgres")[0], "store")
        database = f"postgres://postgres:{password}@{host}:5432/parlance"
        LOGS.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            [CHAOS, "--against", f"127.0.0.1:{PORT}", "--output", str(LOGS)],
            env=ENVIRONMENT | {"CHAOS_DATABASE_URL": database},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.counts = (0, 0)
        self.report = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            if found := re.fullmatch(r"(\d+) acknowledged, (\d+) delivered\n", line):
                self.counts = tuple(map(int, found.groups()))
            else:
                self.report.append(line)

    def flows(self, deadline=60):
        """Waits until new messages are acknowledged and delivered, and returns the duration."""
        begin, before = time.monotonic(), self.counts

        def has_moved():
            check(self.process.poll() is None, f"the load has ended: {''.join(self.report)}")
            return all(now > then for now, then in zip(self.counts, before))

        wait_until("messages flow", deadline, has_moved)
        return time.monotonic() - begin

    def finish(self):
        """Stops the clients, requires a verdict without violations, and returns the report."""
        self.process.stdin.close()
        try:
            status = self.process.wait(FINISHING_DEADLINE)
        except subprocess.TimeoutExpired as late:
            raise Failed(f"the load did not finish in {FINISHING_DEADLINE} s") from late
        self.reader.join(10)
        check(status == 0, f"the load ended with {status}\n{''.join(self.report)}")
        return "".join(self.report)

    def kill(self):
        self.process.kill()
        self.process.wait()
