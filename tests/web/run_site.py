"""Worker processes that serve runs, as far as they know, and an engine whose runs wait to be let go."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from mmuviz.engine.choices.scenario import Focus, Scenario
from mmuviz.engine.run import run
from mmuviz.recording.recording import Recording
from mmuviz.web import compression, migration_api, run_api
from mmuviz.web.result_store import ResultStore
from mmuviz.web.run_limits import Limits
from mmuviz.web.run_queue import RunQueue

SMALL = {"memory[0].size": "4 MiB", "memory[0].backing": "thp", "driver.lead": "1 ms", "driver.tail": "1 ms"}


def body(seed: int = 1, *policies: str) -> dict[str, Any]:
    return {"base": "running-guest", "set": {**SMALL, "workload.seed": seed}, "policies": [*policies] or ["lazy"]}


class Engine:
    """Makes true Recordings, and holds each run until it is let go."""

    def __init__(self, *, held: bool = False) -> None:
        self.go = threading.Event()
        if not held:
            self.go.set()
        self.lock = threading.Lock()
        self.begun: list[int] = []
        self.now = self.most = self.ended = 0

    def __call__(self, scenario: Scenario, focus: Focus | None, *, progress: Callable[[int, int], None]) -> Recording:
        with self.lock:
            self.begun.append(scenario.as_document()["workload"]["seed"])
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            while not self.go.wait(0.02):
                progress(1_000_000, 10)
            return run(scenario, focus, progress=progress)
        finally:
            with self.lock:
                self.now -= 1
                self.ended += 1


class Site:
    """A few worker processes on one folder, as far as they know."""

    def __init__(self, folder: Path, engine: Engine, limits: Limits | None = None, workers: int = 1) -> None:
        self.engine = engine
        self.queues = [RunQueue(ResultStore(folder), limits or Limits(), engine) for _ in range(workers)]
        self.servers = [self._server(queue) for queue in self.queues]

    @staticmethod
    def _server(queue: RunQueue) -> Flask:
        server = Flask("mmuviz")
        compression.register(server)
        run_api.register(server, queue)
        migration_api.register(server, queue.store)
        return server

    def client(self, worker: int = 0) -> FlaskClient:
        return self.servers[worker].test_client()

    def post(self, document: object, worker: int = 0) -> TestResponse:
        return self.client(worker).post("/api/runs", json=document)

    def job(self, name: str, worker: int = 0) -> dict[str, Any]:
        answer = self.client(worker).get(f"/api/jobs/{name}")
        assert answer.status_code == 200
        found: dict[str, Any] = answer.get_json()
        return found

    def until(self, name: str, *states: str, worker: int = 0) -> dict[str, Any]:
        end = time.monotonic() + 30
        while (found := self.job(name, worker))["state"] not in states:
            assert time.monotonic() < end, found
            time.sleep(0.02)
        return found


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)
