"""Virtual environments of the project: made by one interpreter, filled from a lock.

    PYTHON scripts/environment.py create FOLDER             a new environment
    FOLDER/bin/python scripts/environment.py install FILE   what a lock names, every file checked by its hash
    FOLDER/bin/python scripts/environment.py package        the project itself, editable
    FOLDER/bin/python scripts/environment.py compile        what the command line imports, to bytecode

Copying pip into an environment takes longer than all the rest of it. Where PYTHON has pip itself, that one is
used until a lock has brought another. This file runs before anything is installed: standard library only."""

import importlib.util
import os
import subprocess
import sys
import venv
from pathlib import Path

_IMPORT_COMMANDS = """
import importlib, pkgutil, letterhead.cli
for module in pkgutil.iter_modules(letterhead.cli.__path__, "letterhead.cli."):
    importlib.import_module(module.name)
"""


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
    # Not all to bytecode: most of what is installed is never imported. What is, ``compile`` sees to.
    fixed = [
        "install",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "--no-cache-dir",
        "--no-compile",
    ]
    return subprocess.run([*command, *fixed, *arguments], check=False).returncode


def compile_imported() -> int:
    """Have Python keep the bytecode of all that the command line imports; its exit code.

    Where PYTHONDONTWRITEBYTECODE is set, as in many containers, no start would keep it for the next one: each command
    would compile everything anew, which takes longer than all that it does.
    """
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run([sys.executable, "-c", _IMPORT_COMMANDS], env=variables, check=False).returncode


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
        case ["compile"]:
            return compile_imported()
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
