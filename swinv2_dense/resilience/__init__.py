"""Training and testing through faults: of files, processes and machines."""
