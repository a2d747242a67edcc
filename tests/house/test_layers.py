"""check_layers.py: passes on the tree, and finds each fault that is planted in a small package."""

from pathlib import Path

import pytest

from scripts import check_layers

ROOT = Path(__file__).resolve().parents[2]

LAZY = '''
"""Names."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from letterhead.message import Message as Message

_WHERE = {"Message": "letterhead.message"}
__all__ = list(_WHERE)


def __getattr__(name: str) -> object:
    from importlib import import_module

    return getattr(import_module(_WHERE[name]), name)
'''


def problems(root: Path, **files: str) -> list[str]:
    """The problems of a package planted in `root`: `wire__reader` is wire/reader.py, `init` __init__.py."""
    sound = {"init": LAZY, "errors": "", "limits": "", "message": "from letterhead.errors import X\n"}
    for name, text in {**sound, **files}.items():
        *folders, module = name.split("__")
        file = {"init": "__init__.py", "main": "__main__.py"}.get(module, f"{module}.py")
        path = root.joinpath("src", "letterhead", *folders, file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip(), encoding="utf-8")
    return list(check_layers.check(root))


def test_the_tree_is_sound(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_layers.main([str(ROOT)]) == 0, capsys.readouterr().out


def test_a_sound_package_has_no_problem(tmp_path: Path) -> None:
    sound = problems(
        tmp_path,
        wire__init='"""Bytes and frames."""\n',
        wire__reader="import struct\nfrom letterhead.errors import X\nfrom letterhead.wire import header\n",
        wire__header="from .. import limits\n",
        transport__socket="import socket\nimport letterhead.wire.reader\n",
        search__index="from letterhead.search.terms import X\n",
        search__terms="from letterhead import message\n",
        cli__search="from letterhead.search import index\nimport letterhead\n",
        main="from letterhead.cli import search\n",
    )
    assert sound == [], "\n".join(sound)


@pytest.mark.parametrize(
    "text",
    [
        "from letterhead.wire.reader import Reader\n",
        "import letterhead.wire.reader\n",
        "from letterhead.wire import reader\n",
        "from .wire import reader\n",
        "from .wire.reader import Reader\n",
        "from . import errors, limits\nfrom .wire import reader as wire_reader\n",
        "def late() -> None:\n    from letterhead.wire.reader import Reader\n",
        "import typing\nif typing.TYPE_CHECKING:\n    from letterhead.wire.reader import Reader\n",
        "import importlib\nimportlib.import_module('letterhead.wire.reader')\n",
    ],
)
def test_an_import_that_climbs_is_found_in_any_form(tmp_path: Path, text: str) -> None:
    found = problems(tmp_path, message=text, wire__init="", wire__reader="")
    line = 1 + text[: text.rindex("letterhead" if "letterhead" in text else "from .wire")].count("\n")
    assert found == [
        f"src/letterhead/message.py:{line}: message in layer 0 (words) imports wire.reader"
        " from layer 1 (frames and content)"
    ]


def test_modules_of_one_layer_may_import_one_another(tmp_path: Path) -> None:
    assert problems(tmp_path, errors="import sys\nfrom letterhead.limits import Limits\n") == []


def test_the_public_api_is_out_of_reach_for_lower_layers(tmp_path: Path) -> None:
    found = problems(tmp_path, search__index="from letterhead import Client\n")
    assert found == [
        "src/letterhead/search/index.py:1: search.index in layer 5 (uses) imports letterhead from layer 6 (public API)"
    ]


def test_a_folder_that_is_not_listed_is_built_with_the_package(tmp_path: Path) -> None:
    sound = problems(tmp_path, bridges__http="from letterhead.server import listen\n", server__listen="")
    assert sound == []
    found = problems(tmp_path, server__listen="import letterhead.bridges.http\n")
    assert found == [
        "src/letterhead/server/listen.py:1: server.listen in layer 4 (transports, server and clients) imports"
        " bridges.http from layer 5 (uses)",
        "src/letterhead/bridges/http.py:1: imports in a circle: bridges.http → server.listen → bridges.http",
    ]


def test_the_clients_are_above_their_core(tmp_path: Path) -> None:
    core = "from letterhead.client.aio import client\n"
    found = problems(
        tmp_path, client__core=core, client__aio__client="from letterhead.client import limits\n", client__limits=""
    )
    assert found == [
        "src/letterhead/client/core.py:1: client.core in layer 3 (client core and application) imports"
        " client.aio.client from layer 4 (transports, server and clients)"
    ]


def test_a_module_that_does_not_exist_is_found(tmp_path: Path) -> None:
    found = problems(tmp_path, message="import letterhead.error\n")
    assert found == ["src/letterhead/message.py:1: message imports letterhead.error, which is no module"]


def test_a_name_of_an_empty_folder_is_found(tmp_path: Path) -> None:
    found = problems(tmp_path, wire__init="", wire__writer="from letterhead.wire import encode\n")
    assert len(found) == 1
    assert found[0].startswith("src/letterhead/wire/writer.py:1: wire.writer imports letterhead.wire, a folder")


@pytest.mark.parametrize("module", ["asyncio", "socket", "ssl", "threading", "time", "concurrent.futures"])
@pytest.mark.parametrize("place", ["wire__reader", "content__text", "protocol__states"])
def test_io_and_clocks_are_found_where_there_are_none(tmp_path: Path, module: str, place: str) -> None:
    found = problems(tmp_path, **{place: f"def late() -> None:\n    import {module}\n"})
    assert len(found) == 1
    assert ".py:2: " in found[0]
    folder = place.partition("__")[0]
    assert found[0].endswith(f"imports {module.partition('.')[0]}: there is no I/O and no clock in {folder}")


def test_the_package_s_own_clock_is_one(tmp_path: Path) -> None:
    found = problems(tmp_path, clock="import time\n", protocol__timers="from letterhead import clock\n")
    assert found == [
        "src/letterhead/protocol/timers.py:1: protocol.timers imports letterhead.clock: there is no I/O and no clock in"
        " protocol"
    ]


def test_io_is_allowed_above(tmp_path: Path) -> None:
    assert problems(tmp_path, app__runner="import asyncio\n", server__listen="from socket import socket\n") == []


def halves(count: int) -> tuple[str, str]:
    """A class with so many private members, and one in another file that uses all of them."""
    made = "".join(f"        self._member_{number} = 0\n" for number in range(count))
    used = "".join(f"        self._member_{number}\n" for number in range(count))
    base = f"class Half:\n    def __init__(self) -> None:\n{made}"
    return base, f"from letterhead.limits import Half\nclass Whole(Half):\n    def use(self) -> None:\n{used}"


def test_a_class_that_is_continued_in_another_file_is_found(tmp_path: Path) -> None:
    most = check_layers.PRIVATE_MEMBERS
    base, rest = halves(most)
    assert problems(tmp_path, limits=base, message=rest) == []
    base, rest = halves(most + 1)
    found = problems(tmp_path, limits=base, message=rest)
    assert len(found) == 1
    assert found[0].startswith("src/letterhead/message.py:2: Whole uses private members of a base class in another")


def test_private_members_of_a_base_class_in_the_same_file_are_sound(tmp_path: Path) -> None:
    base, rest = halves(check_layers.PRIVATE_MEMBERS + 1)
    assert problems(tmp_path, message=base + rest.partition("\n")[2]) == []


@pytest.mark.parametrize(
    "code",
    [
        "def helper() -> None: ...\n",
        "class Helper: ...\n",
        "from letterhead.message import Message\n",
        "from .message import Message\n",
        "import letterhead.message\n",
        "for name in (1, 2): ...\n",
        "print(1)\n",
        "helper = lambda: None\n",
    ],
)
def test_code_beside_the_lazy_names_is_found(tmp_path: Path, code: str) -> None:
    found = problems(tmp_path, init='"""Names."""\n' + code)
    assert len(found) == 1
    assert found[0].startswith("src/letterhead/__init__.py:2: letterhead/__init__.py holds lazy names and nothing")


def test_code_in_a_folder_s_init_is_found(tmp_path: Path) -> None:
    found = problems(tmp_path, wire__init='"""Bytes."""\nfrom letterhead.wire.reader import R\n', wire__reader="")
    assert found == ["src/letterhead/wire/__init__.py:2: code in the __init__.py of wire: it holds a docstring at most"]


def test_lazy_names_of_the_folder_whose_names_users_import_are_sound(tmp_path: Path) -> None:
    lazy = LAZY.replace("letterhead.message", "letterhead.testing.memory").lstrip()
    assert problems(tmp_path, testing__init=lazy, testing__memory="class Message: ...\n") == []


def test_other_code_in_it_is_found(tmp_path: Path) -> None:
    found = problems(
        tmp_path, testing__init='"""Names."""\nfrom letterhead.testing.memory import M\n', testing__memory=""
    )
    assert found == [
        "src/letterhead/testing/__init__.py:2: letterhead/testing/__init__.py holds lazy names and nothing else:"
        " move this to a module"
    ]


def test_a_circle_within_a_folder_is_found_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        search__index="from letterhead.search import terms\n",
        search__terms="from letterhead.search import titles\n",
        search__titles="from letterhead.search import index, terms\n",
    )
    assert sorted(found) == [
        "src/letterhead/search/index.py:1: imports in a circle: search.index → search.terms → search.titles →"
        " search.index",
        "src/letterhead/search/terms.py:1: imports in a circle: search.terms → search.titles → search.terms",
    ]


def test_problems_are_printed_and_exit_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = problems(tmp_path, wire__other="import time\nimport socket\n")
    assert check_layers.main([str(tmp_path)]) == 1
    assert capsys.readouterr().out.splitlines() == expected
    assert len(expected) == 2
