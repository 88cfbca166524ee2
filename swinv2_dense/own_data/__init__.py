"""What users' configs read from their data: the names of its classes."""
