"""Everything that relies on undocumented parts of dask, distributed, tornado or multiprocessing.

Workers on this machine start in half the time because of it, and a script needs no
``if __name__ == "__main__":``. `choice` is the only entrance for the making of processes:
`own_processes()` is false where ``acme.local.fork-server: false`` stands in dask's configuration,
and where `probe` finds other internals than expected (with a warning); then `stock` does the same
with documented means. `tests/internals/test_stock.py` holds that both behave alike.

==================  ==========================================================  ===================
module              relies on (distributed 2025.1 to 2026.8, Python 3.11-3.13)  fails when it moves
==================  ==========================================================  ===================
`fork_server`       `multiprocessing.forkserver.main`, its protocol             test_local, test_scripts
`context`           `spawn.get_preparation_data`, `set_spawning_popen`,         test_scripts
                    `popen_forkserver.Popen._launch`, `util.Finalize`
`nanny`             `Nanny.instantiate`, `WorkerProcess.start`, `._run` and     test_stock (probe),
                    their attributes, `AsyncProcess._start_threads`,            test_local
                    `Worker.close` and `.start_http_server`,
                    `resource_tracker._resource_tracker`
`local_workers`     `SpecCluster._correct_state`, `._close`, `.new_spec`;       test_stock (probe),
                    that a client awaits its cluster                            test_local
`scheduler`         `Scheduler.start_http_server`, `RoutingApplication`,        test_local
                    `dashboard.scheduler.connect`
`prompt_client`     `Client.scheduler_comm.interval` (left out if missing)      test_prompt_client
`tls`               `Security._get_tls_context` (plain contexts if missing),    test_tls
                    `tornado.tcpserver.SSLIOStream`
`fast_imports`      `yaml.SafeLoader`, `sys.modules[...] = None`                test_fast_imports
`live_clusters`     `Client._instances`                                         test_scripts
==================  ==========================================================  ===================

Outside of this room only `batch_system.cluster` overrides methods of dask-jobqueue's cluster
(`_close`, `_correct_state`, `_update_worker_status`), which has no documented way to replace a
lost job; the tests on a real SLURM cluster fail when these change.

Others import `choice`, `fork_server`, `preloading`, `prompt_client`, `scheduler`, `tls`,
`live_clusters` and `fast_imports.quick_imports`. May import `lifetime`, `console` and the modules at
the root.
"""
