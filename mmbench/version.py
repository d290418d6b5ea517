"""The version of mmbench, written here and nowhere else."""

__version__ = "0.1.0"
