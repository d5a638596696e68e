"""What `heli doctor` looks at, one module for each kind of thing."""
