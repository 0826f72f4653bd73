"""Results in object storage: a real run against a server on this machine that speaks S3."""

import json
import os
import socket
import subprocess
import time
from contextlib import contextmanager

import pytest

from shared.environments import own_interpreter
from shared.opt_in import installs
from shared.workflow_copy import ROOT

TARGET = "results/ultra_tiny/accuracy.json"
# Reads one object of a bucket, or without its name makes the bucket.
BUCKET = """
import sys, boto3
client = boto3.client("s3", endpoint_url=sys.argv[1])
if len(sys.argv) > 2:
    print(client.get_object(Bucket="assay", Key=sys.argv[2])["Body"].read().decode())
else:
    client.create_bucket(Bucket="assay")
"""
KEYS = {"AWS_ACCESS_KEY_ID": "anybody", "AWS_SECRET_ACCESS_KEY": "anything", "AWS_DEFAULT_REGION": "us-east-1"}

pytestmark = [pytest.mark.slow, installs("s3")]


@contextmanager
def server(python, folder):
    """The address of a server, for as long as a test lasts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "server.log").open("w") as log:
        running = subprocess.Popen([python, "-m", "moto.server", "-p", str(port)], stdout=log, stderr=log)
    try:
        for _ in range(300):
            assert running.poll() is None, (folder / "server.log").read_text()
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait(30)


def test_results_lie_in_a_bucket_and_what_is_shipped_on_the_disk(tmp_path):
    python = own_interpreter(tmp_path / "environment", ROOT / "tests/environments/s3.txt")
    (tmp_path / "work").mkdir()

    def run(*command):
        return subprocess.run(
            [python, *command],
            cwd=tmp_path / "work",
            env=os.environ | KEYS,
            capture_output=True,
            text=True,
            timeout=500,
        )

    with server(python, tmp_path) as address:
        assert run("-c", BUCKET, address).returncode == 0
        command = ["-m", "snakemake", "-s", ROOT / "Snakefile", "-j", "2", "--default-storage-provider", "s3"]
        command += ["--default-storage-prefix", "s3://assay", "--storage-s3-endpoint-url", address]
        done = run(*command, "--", TARGET)
        assert done.returncode == 0, done.stderr
        assert json.loads(run("-c", BUCKET, address, TARGET).stdout)["variant"] == "ultra_tiny"
        assert not (tmp_path / "work/results").exists()
        again = run(*command, "-n", "--", TARGET)
        assert "Nothing to be done" in again.stdout + again.stderr
