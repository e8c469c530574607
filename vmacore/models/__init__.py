"""Generative models with a memory, one a file."""
