//! The training loop, optimizer groups, schedules and checkpoints.
