//! Metrics, fidelity, tasks and the texts that ship with the program.
