"""The supervisor behind `heli up`: starts the processes, watches them, restarts them, drains them."""
