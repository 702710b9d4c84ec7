"""Read-only file systems that this program serves to the kernel."""
