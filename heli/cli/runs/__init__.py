"""What `heli run` and `heli env` are made of."""
