"""Clusters whose workers are jobs of a batch system.

    Request ─ plans ─► Plan ─ jobs ─► job script ─ submission ─► batch system ─► job_worker

`cluster` is the scheduler in this process, with its start and its end. While it runs, `supervision`
keeps the heartbeat and replaces lost jobs; `job_polling` tells it when to ask the queue.
`job_worker` is what a job runs. `cluster_folder` holds keys and logs, which both sides share.

Other rooms import `cluster.start_cluster`, `plans.make_plan`, `jobs.Plan`, `jobs.job_script` and
`cluster_folder.shared_base`. This room may import `processes` and the rooms below it.
"""
