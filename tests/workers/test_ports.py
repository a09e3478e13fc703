"""A private cluster opens no port beyond loopback."""

from __future__ import annotations

import json
import subprocess
import sys

LISTENING = """
import json, os
import psutil
from workers.on_ray import RayExecutor

def listening():
    here = psutil.Process()
    found = []
    for process in (here, *here.children(recursive=True)):
        for connection in process.net_connections(kind="inet"):
            if connection.status == psutil.CONN_LISTEN or (connection.type == 2 and not connection.raddr):
                found.append([process.name(), connection.laddr.ip])
    return found

before = listening()
executor = RayExecutor(None, 2)
import ray

@ray.remote
def work():
    return os.getpid()

ray.get([work.remote() for _ in range(4)])
print(json.dumps([before, listening(), ray.util.get_node_ip_address()]))
executor.close()
"""


def test_a_private_cluster_listens_on_loopback_only() -> None:
    done = subprocess.run([sys.executable, "-c", LISTENING], capture_output=True, text=True, check=True, timeout=240)
    before, during, address = json.loads(done.stdout.splitlines()[-1])
    assert not before
    names = {name for name, _ in during}
    assert {"gcs_server", "raylet"} <= names
    assert any(name.startswith("ray::") for name in names)  # workers, too
    assert {place.removeprefix("::ffff:") for _, place in during} == {"127.0.0.1"}, during
    assert address == "127.0.0.1"
