"""Clusters whose workers are jobs of a batch system.

    Request ─ plans ─► Plan ─ jobs ─► job script ─ submission ─► batch system
                                                                      │
      cluster: scheduler here, heartbeat, replacement of lost jobs ◄──┴──► job_worker: in the job

Others import `cluster.start_cluster`, `plans.make_plan`, `jobs.Plan`, `jobs.job_script` and
`cluster_folder.shared_base`. May import `processes` and the rooms under it.
"""
