"""A Slurm of one node on this machine, on loopback alone: its own configuration, key and folders.

Slurm looks for its configuration in /etc/slurm where a job's environment does not say otherwise, so three
links lie there while it runs. A machine that has a configuration there, or a Slurm at work, is left alone.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from running import within

ETC = Path("/etc/slurm")
FILES = ("slurm.conf", "gres.conf", "cgroup.conf")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")
CPUS, MEMORY_MIB, GPUS = 16, 200_000, 2

# Only the first lines say what kind of Slurm it is; the rest keeps it fast, small and to itself.
_SLURM = """\
ClusterName=impasto
SlurmctldHost={host}(127.0.0.1)
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
SlurmdUser=root
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPort={port}
SlurmdPort={next_port}
StateSaveLocation={folder}/control
SlurmdSpoolDir={folder}/node
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
MinJobAge=600
ReturnToService=2
KillWait=20
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:{gpus} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=300 State=UP
"""


def reason_against() -> str | None:
    """Why no Slurm can be started here; None when it can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "only root can start a Slurm"
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"{missing[0]} is not installed"
    # Debian's packages bring an empty plugstack.conf; whatever else lies there is a cluster's.
    found = sorted({path.name for path in ETC.glob("*.conf")} - {"plugstack.conf"})
    if found:
        return f"this machine has {ETC / found[0]}"
    running = [name for name in ("slurmd", "slurmctld") if _runs(name)]
    return f"{running[0]} is running" if running else None


@contextmanager
def slurm() -> Iterator[Path]:
    """A Slurm that runs within the block; the folder of its logs."""
    folder = Path(tempfile.mkdtemp(prefix="impasto-slurm-", dir="/run"))
    folder.chmod(0o755)
    made = not ETC.exists()
    links = [ETC / name for name in FILES]
    try:
        _configure(folder)
        ETC.mkdir(exist_ok=True)
        for link in links:
            link.symlink_to(folder / link.name)
        _start(folder)
        yield folder
    finally:
        for name in ("slurmd", "slurmctld", "munged"):
            _stop(folder / f"{name}.pid")
        for link in links:
            link.unlink(missing_ok=True)
        if made:
            ETC.rmdir()
        shutil.rmtree(folder, ignore_errors=True)


def _configure(folder: Path) -> None:
    for name in ("control", "node"):
        (folder / name).mkdir()
    host, port = socket.gethostname().partition(".")[0], _free_port()
    text = _SLURM.format(
        host=host, folder=folder, port=port, next_port=port + 1, cpus=CPUS, memory=MEMORY_MIB, gpus=GPUS
    )
    (folder / "slurm.conf").write_text(text)
    devices = "".join(f"NodeName={host} Name=gpu File={device}\n" for device in ("/dev/null", "/dev/zero"))
    (folder / "gres.conf").write_text(devices)
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)


def _start(folder: Path) -> None:
    munge = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "log", "seed")]
    munge += [f"--pid-file={folder}/munged.pid", f"--socket={folder}/munge.socket"]
    for command in (
        ["munged", *munge],
        ["slurmctld", "-f", str(folder / "slurm.conf")],
        ["slurmd", "-f", str(folder / "slurm.conf")],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
    assert within(30, _is_idle), (folder / "slurmd.log").read_text() + (folder / "slurmctld.log").read_text()


def _is_idle() -> bool:
    asked = ["sinfo", "-h", "-o", "%T"]
    return "idle" in subprocess.run(asked, capture_output=True, text=True, timeout=30, check=False).stdout


def _stop(pid_file: Path) -> None:
    if not pid_file.exists():
        return
    number = int(pid_file.read_text())
    os.kill(number, signal.SIGTERM)
    within(10, lambda: not Path(f"/proc/{number}").exists())


def _runs(name: str) -> bool:
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "comm").read_text().strip() == name:
                return True
        except OSError:
            continue
    return False


def _free_port() -> int:
    """A port of loopback that is free, as is the next one, as far as can be known."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port if port < 65_535 else port - 2
