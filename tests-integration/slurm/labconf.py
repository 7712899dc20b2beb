"""Partitions of the test cluster, and configuration files of its daemons."""

from __future__ import annotations

__all__ = ["DBD_CONF", "GRES_CONF", "PARTITIONS", "SLURM_CONF"]

# Name, memory limit per job in GB, time limit, further settings. The names are those of a real
# cluster.
PARTITIONS = (
    ("8GBXS", 8, "01:00:00", "Default=YES"),
    ("8GBS", 8, "10:00:00", ""),
    ("16GBXS", 16, "01:00:00", ""),
    ("24GBS", 24, "10:00:00", ""),
    ("32GBS", 32, "10:00:00", ""),
    ("E880", None, "UNLIMITED", "DefMemPerCPU=4000"),
    ("ESI", None, "UNLIMITED", ""),
    ("CLOSED", None, "01:00:00", "State=DOWN"),
    ("SECRET", None, "01:00:00", "Hidden=YES"),
    ("OTHERS", None, "01:00:00", "AllowAccounts=nobodys"),
    ("GPU", None, "01:00:00", "Nodes={gpu_nodes}"),
    ("CPU", None, "01:00:00", "Nodes={cpu_nodes}"),
)

SLURM_CONF = """\
ClusterName={cluster}
SlurmctldHost={host}(127.0.0.1)
SlurmUser=slurm
AuthType=auth/munge
CredType=cred/munge
MailProg=/bin/true
MpiDefault=none
StateSaveLocation={home}/controller
SlurmctldPidFile={home}/run/slurmctld.pid
SlurmctldLogFile={home}/log/slurmctld.log
SlurmdPidFile={home}/run/%n.pid
SlurmdLogFile={home}/log/%n.log
SlurmdSpoolDir={home}/%n
# No control groups, so that it works in a container.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
# Detect faults within seconds.
SlurmctldTimeout=10
SlurmdTimeout=10
KillWait=5
MinJobAge=120
ReturnToService=1
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory,CR_LLN
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStorageEnforce=associations,limits,qos
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=DEFAULT CPUs=8 RealMemory=64000
NodeName={gpu_nodes} NodeAddr=127.0.0.1 NodeHostname={host} Port=[{gpu_ports}] Gres=gpu:2
NodeName={cpu_nodes} NodeAddr=127.0.0.1 NodeHostname={host} Port=[{cpu_ports}]
PartitionName=DEFAULT Nodes={nodes} State=UP DefMemPerCPU=2000
{partitions}
"""

# Made-up GPUs: SLURM hands out device files and sets CUDA_VISIBLE_DEVICES, and never opens them.
GRES_CONF = """\
NodeName={gpu_nodes} Name=gpu File=/dev/tty[0-1]
"""

DBD_CONF = """\
AuthType=auth/munge
DbdHost=localhost
SlurmUser=slurm
PidFile={home}/run/slurmdbd.pid
LogFile={home}/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StorageLoc=slurm_acct_db
"""
