"""A whole cluster in one process, under a virtual clock and a seeded scheduler: the unmodified agent meets every fault."""
