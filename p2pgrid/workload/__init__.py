"""Running workloads on this machine.

    service.py      what the rest of the program calls; the only task keeper
    sandbox.py      one container's disk, users and network, made and removed
    plan.py         what runc is told (pure); seccomp.json is the system call list
    names.py        every name and address, derived from ids (pure)

Names are derived, never invented: whatever a killed program left behind is found again by name,
so the next start needs no journal to clean up.
"""
