"""Training with several processes: on CPUs, and with sharded models and optimizers."""
