"""The wire formats that heli reads, one module each; `recognition` tells which one a call is in."""
