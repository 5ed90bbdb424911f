//! Logs, traces and metrics. Depends on model and config only.
