"""Distributed training: on CPUs, and with sharded models and optimizers."""
