"""Launchers of distributed runs."""

from __future__ import annotations

import os

from ..errors import ConfigError

# Environment variable with the number of processes, by launcher.
WORLD_SIZES = dict(pytorch='WORLD_SIZE', slurm='SLURM_NTASKS', mpi='OMPI_COMM_WORLD_SIZE')
STARTS = dict(pytorch='tools/dist_train.sh', slurm='tools/slurm_train.sh', mpi='mpirun')


def world_size(launcher: str) -> int:
    """Number of processes of a run, also before they are connected.

    Raises:
        ConfigError: The process was not started by `launcher`.
    """
    if launcher == 'none':
        return 1
    variable = WORLD_SIZES[launcher]
    if variable not in os.environ:
        raise ConfigError(
            f'--launcher={launcher}, but {variable} is not set: start the processes with '
            f'{STARTS[launcher]}, or drop --launcher to run a single process'
        )
    return int(os.environ[variable])
