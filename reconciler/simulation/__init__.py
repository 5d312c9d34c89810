"""Hosts without Docker: a real SSH server with an in-memory Docker Engine API, which the official Compose can drive.

It names itself wherever it shows: engine id `SIMULATED:…`, host name `simulated`, operating system `reconciler
simulated host`. No process runs in it and no data is kept; what only the simulation has shown is called so.
"""

from reconciler.simulation.host import SimulatedHost
from reconciler.simulation.image import SimulatedImage

__all__ = ["SimulatedHost", "SimulatedImage"]
