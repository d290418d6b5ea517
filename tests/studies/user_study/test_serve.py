"""The command serves until it is told to stop, and what it was given is on the disk."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from mmbench.studies.user_study.design import read_design
from mmbench.studies.user_study.make import NewStudy, new_study
from mmbench.studies.user_study.plan import PlanOptions
from mmbench.studies.user_study.votes import open_votes
from tests.studies.user_study.conftest import MadeRun

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")


def ask(method: str, address: str, body: object = None, token: str = "") -> Any:
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(address, data, headers, method=method), timeout=30) as answer:
        return json.load(answer)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM to answer")
def test_one_command_serves_and_a_killed_server_loses_no_vote(tmp_path: Path, make_run: MadeRun) -> None:
    run = make_run(tmp_path / "run", people=1, prompts=1)
    study = new_study([run], tmp_path / "study", NewStudy(kind="pairs", plan=PlanOptions(2, 3, 0, 0, 1))).folder
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = ""
    for slot, ending in enumerate((signal.SIGTERM, signal.SIGKILL)):
        command = [sys.executable, "-m", "mmbench", "study", "serve", str(study), "--port", str(port)]
        with subprocess.Popen([*command, "--root-path", "/lab"], stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            assert f"http://127.0.0.1:{port}/lab/" in server.stdout.readline()
            address = f"http://127.0.0.1:{port}/lab/api"
            for _ in range(600):
                try:
                    ask("GET", f"{address}/study")
                    break
                except OSError:
                    assert server.poll() is None
                    time.sleep(0.1)
            token = token or ask("POST", f"{address}/raters", {"consent": True})["token"]
            vote = {"revision": 1, "answers": {"overall": "tie"}, "seconds": 1.0}
            assert ask("PUT", f"{address}/votes/{slot}", vote, token)["slot"] == slot
            server.send_signal(ending)
            assert server.wait(60) == (143 if ending == signal.SIGTERM else -signal.SIGKILL)
    (one,) = open_votes(study, read_design(study)).everything()
    assert [vote.slot for vote in one.votes] == [0, 1]
