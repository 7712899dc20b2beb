"""Code that relies on undocumented parts of dask, distributed, tornado or multiprocessing.

Workers on this machine start in half the time because of it, and a script needs no
``if __name__ == "__main__":``. `choice` is the only entrance for the making of processes:
`own_processes()` is false where ``acme.local.fork-server: false`` stands in dask's configuration,
and where `probe` finds other internals than expected (with a warning); then `stock` does the same
with documented means. `tests/internals/test_stock.py` holds that both behave alike.

`fork_server`
    `multiprocessing.forkserver.main` and its protocol. Tests: test_local, test_scripts.
`context`
    `multiprocessing`: `spawn.get_preparation_data`, `context.set_spawning_popen`,
    `popen_forkserver.Popen._launch`, `util.Finalize`. Tests: test_scripts.
`nanny`
    `Nanny.instantiate`, `WorkerProcess.start`, `._run`, `._on_exit` and their attributes,
    `AsyncProcess._start_threads` and `._immediate_exit_when_closed`, `Worker.close`,
    `Worker.start_http_server`, `resource_tracker._resource_tracker`.
    Tests: test_stock (the probe), test_local.
`process_group`
    `multiprocessing.Process._config`. Tests: test_processes_of_calls in acme-core.
`local_workers`
    `SpecCluster._correct_state` and `._close`; that a client awaits its cluster.
    Tests: test_stock (the probe), test_local.
`scheduler`
    `Scheduler.start_http_server`, `RoutingApplication`, `dashboard.scheduler.connect`.
    Tests: test_local.
`history`
    `SpansSchedulerExtension.observe_tasks` and `.heartbeat`, `Scheduler.extensions`,
    `.transition_log`, `.stream_comms` and `.client_comms`, `BatchedSend.recent_message_log`.
    Tests: test_history.
`prompt_client`
    `Client.scheduler_comm.interval`; left alone where it is missing. Tests: test_prompt_client.
`tls`
    `Security._get_tls_context` (where it is missing, distributed makes its own contexts),
    `tornado.tcpserver.SSLIOStream`. Tests: test_tls.
`fast_imports`
    `yaml.SafeLoader`, `None` as an entry of `sys.modules`. Tests: test_fast_imports.
`live_clusters`
    `Client._instances`, `SpecCluster.new_worker_spec` and `._futures`.
    Tests: test_scripts, test_gpus, test_stock (the probe).

Verified with distributed 2025.1 to 2026.8 and Python 3.11 to 3.13.

Outside this room only `batch_system.cluster` overrides methods of dask-jobqueue's cluster
(`_close`, `_update_worker_status`), which has no documented way to replace a lost job; the tests on
a real SLURM cluster fail when these change.

Others import `choice`, `fork_server`, `preloading`, `prompt_client`, `scheduler`, `tls`,
`live_clusters` and `fast_imports.quick_imports`. May import `lifetime`, `console` and the modules
at the root.
"""
