"""Where heli keeps what it knows. Each database driver is imported in one module of this package only."""
