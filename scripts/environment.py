"""Virtual environments of the project: made by one interpreter, filled from a lock.

    PYTHON scripts/environment.py create FOLDER             a new environment
    FOLDER/bin/python scripts/environment.py install FILE   what a lock names, every file checked by its hash
    FOLDER/bin/python scripts/environment.py package        the project itself, editable

Copying pip into an environment takes longer than all the rest of it. Where PYTHON has pip itself, that one is
used until a lock has brought another. This file runs before anything is installed: standard library only."""

import importlib.util
import subprocess
import sys
import venv
from pathlib import Path


def create(folder: Path) -> None:
    """A new environment in `folder`; what stood there is removed."""
    has_pip = importlib.util.find_spec("pip") is not None
    venv.EnvBuilder(clear=True, symlinks=sys.platform != "win32", with_pip=not has_pip).create(folder)


def pip(*arguments: str) -> int:
    """Run pip for the environment of the running interpreter; its exit code."""
    command = [sys.executable, "-m", "pip"]
    if importlib.util.find_spec("pip") is None:
        base: str = getattr(sys, "_base_executable", sys.executable)
        command = [base, "-m", "pip", "--python", sys.executable]
    # Compiling to bytecode is left to the first import: most of what is installed is never imported.
    fixed = [
        "install",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "--no-cache-dir",
        "--no-compile",
    ]
    return subprocess.run([*command, *fixed, *arguments], check=False).returncode


def main(arguments: list[str]) -> int:
    """Do what the module's docstring lists; the exit code."""
    match arguments:
        case ["create", folder]:
            create(Path(folder))
            return 0
        case ["install", lock]:
            what, code = lock, pip("--require-hashes", "-r", lock)
        case ["package"]:
            what, code = "the package", pip("--no-deps", "--no-build-isolation", "-e", ".")
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    if code:
        print(
            f"{what} could not be installed: is the package registry that pip uses within reach?",
            file=sys.stderr,
        )
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
