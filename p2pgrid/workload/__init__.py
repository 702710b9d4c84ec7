"""Running workloads on this machine."""
