"""The event log and all that is kept: spool, lake, summaries, findings."""
