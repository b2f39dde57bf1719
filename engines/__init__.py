"""Real Consul, Docker Engine and registry for tests, benchmarks and the demo.

Development code: roj itself never imports it. Each engine is a child of the process that asked for it, keeps all it has
in one directory of the run (`/tmp/roj-engines-*`), listens on ports that were free, and is ended by process id. When the
asking process dies, however it dies, a small process of the run ends the engines and removes what they left
(`engines.janitor`); what even that missed, the next run removes.

>>> with Consul() as consul, Docker.shared() as docker:
...     print(consul.store_url, docker.url)
"""

from engines.consul import Consul
from engines.docker import Docker
from engines.errors import EngineError
from engines.image import Web
from engines.network import Node, NodeNetwork
from engines.registry import Registry
from engines.rights import missing_rights
from engines.run import Run

__all__ = [
    "Consul",
    "Docker",
    "EngineError",
    "Node",
    "NodeNetwork",
    "Registry",
    "Run",
    "Web",
    "missing_rights",
]
