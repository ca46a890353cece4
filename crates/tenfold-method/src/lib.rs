//! One file per method: a rewrite of weights and a schedule of what trains.
