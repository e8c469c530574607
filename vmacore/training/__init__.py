"""Training: the loop, the step, and what is saved of them."""
