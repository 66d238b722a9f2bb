"""Programs in processes of their own."""

import os
import subprocess
import sys


def python(code, *, path=(), timeout=300, **environment):
    """Run code in a fresh process; what it printed, on both streams."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment}
    environment["PYTHONPATH"] = os.pathsep.join([*map(str, path), environment.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stderr}"
    return done.stdout, done.stderr
