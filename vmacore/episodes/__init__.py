"""Episodes: the targets and the memory of a step."""
