"""Planted bugs: the proof that the simulation's properties find what they are there for (`make mutants`)."""
