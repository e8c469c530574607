"""Families of networks, one a file; `model.network` names one of them."""
