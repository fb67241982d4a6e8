//! Tasks, lease, shutdown, metrics and the command line
