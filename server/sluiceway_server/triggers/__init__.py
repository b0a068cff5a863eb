"""From an event of a git provider to runs, and from runs to commit statuses.

`remote_sources` are the providers, `linked_accounts` the accounts of users there, `links` the repositories of projects.
A delivery is received by `service`, judged by `event_rules`, and worked on by `worker`. `event_reading` reads the
configuration through the provider (`config_files`); a process decides on its runs (`event_plans`, `planning`).
`statuses` follow the runs. What is stored is in `records`.
"""
