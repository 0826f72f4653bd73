"""A Slurm of one node on this machine, for as long as a test lasts."""

import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
CONFIG_FILE = Path("/etc/slurm/slurm.conf")  # where the steps of a job look for it
CONFIG = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
ReturnToService=2
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=6000
PartitionName=all Nodes=ALL Default=YES State=UP
"""


def why_missing():
    """Say why no Slurm can be started here; None where one can."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"no Slurm here ({', '.join(missing)}): apt-get install slurmctld slurmd slurm-client munge"
    if CONFIG_FILE.exists():
        return f"{CONFIG_FILE} is that of another Slurm"
    return None if os.getuid() == 0 else "only root starts Slurm"


@contextmanager
def one_node(folder):
    """Start a Slurm whose files lie in ``folder``, but for ``CONFIG_FILE``, which is removed in the end."""
    folder.chmod(0o711)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o600)
    CONFIG_FILE.parent.mkdir(exist_ok=True)
    CONFIG_FILE.write_text(CONFIG.format(folder=folder, host=socket.gethostname(), ports=_free_ports(2)))
    munge = [
        f"--{name}={folder}/munge.{name.split('-')[0]}" for name in ("socket", "key-file", "pid-file", "seed-file")
    ]
    commands = [
        ["munged", "--foreground", "--force", f"--log-file={folder}/munge.log", *munge],
        ["slurmctld", "-D", "-L", str(folder / "slurmctld.log")],
        ["slurmd", "-D", "-L", str(folder / "slurmd.log")],
    ]
    started = []
    try:
        for command in commands:
            log = (folder / f"{command[0]}.out").open("w")
            started.append(subprocess.Popen(command, stdout=log, stderr=log))
            time.sleep(1)
        _wait_for_idle_node()
        yield
    finally:
        CONFIG_FILE.unlink()
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(20)


def _wait_for_idle_node():
    for _ in range(60):
        told = subprocess.run(["sinfo", "-h", "-o", "%t"], capture_output=True, text=True)
        if told.stdout.strip() == "idle":
            return
        time.sleep(0.5)
    raise RuntimeError(f"the node does not become idle: {told.stdout}{told.stderr}")


def _free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [open_socket.getsockname()[1] for open_socket in sockets]
    for open_socket in sockets:
        open_socket.close()
    return ports
