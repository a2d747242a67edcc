"""`letterhead call`."""

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from letterhead.cli.text import harmless
from letterhead.testing.background import running
from tests.classic import server as classic_server
from tests.cli import application
from tests.cli.conftest import Everything
from tests.cli.shell import COMMAND, Done, failure, letterhead, on_terminal
from tests.leaks import PATIENCE
from tests.processes import ended


@pytest.mark.smoke
def test_text_is_printed_plainly(server: Everything) -> None:
    assert letterhead("call", server.address, "greet", "name=Ada", "times=2") == (0, "hello Ada, hello Ada\n", "")


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("3", 3),
        ("-0.5", -0.5),
        ("true", True),
        ("null", None),
        ("[1, 2]", [1, 2]),
        ('{"a": "b"}', {"a": "b"}),
        ('"3"', "3"),
        ("three", "three"),
        ("", ""),
        ("a=b", "a=b"),
        ("NaN", "NaN"),
        ("1e999", "1e999"),
        ("[" * 100 + "]" * 100, "[" * 100 + "]" * 100),
        ("größer 🐶", "größer 🐶"),
    ],
)
def test_a_value_is_json_where_it_can_be_else_text(server: Everything, typed: str, value: object) -> None:
    done = letterhead("call", server.address, "echo", f"value={typed}")
    assert done.out == (f"{value}\n" if isinstance(value, str) else json.dumps(value, indent=2) + "\n")


def test_other_results_are_indented_json(server: Everything) -> None:
    done = letterhead("call", server.address, "echo", 'value={"größe": [1, null]}')
    assert done.out == '{\n  "größe": [\n    1,\n    null\n  ]\n}\n'


def test_without_arguments_there_are_none(server: Everything) -> None:
    assert letterhead("call", server.address, "echo").out == "null\n"


def test_arguments_may_have_the_names_that_python_clients_keep(server: Everything) -> None:
    done = letterhead("call", server.address, "settings", "timeout=3", "returns=text")
    assert (done.status, json.loads(done.out)) == (0, [3.0, "text"])


def test_bytes_go_to_a_pipe_as_they_are(server: Everything) -> None:
    done = subprocess.run([*COMMAND, "call", server.address, "octets"], capture_output=True, check=True)
    assert done.stdout == b"\x00\xff\x1b\n"


def test_bytes_on_a_terminal_are_escaped(server: Everything) -> None:
    assert on_terminal("call", server.address, "octets").out == "\\x00\\xff\\x1b\n\n"


def test_a_unix_socket_is_an_address(short_path: Path) -> None:
    app, _ = application.make()
    with running(app, f"unix:{short_path}/socket") as served:
        assert letterhead("call", served.server.addresses[0], "greet", "name=Ada").out == "hello Ada\n"


def test_whatever_a_classic_server_says_is_a_result() -> None:
    with classic_server.running() as (host, port):
        done = letterhead("call", f"{host}:{port}", "greet")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("Error: invalid action")


@pytest.mark.parametrize(
    ("words", "result"),
    [
        (["greet", "name=Ada"], "hello Ada"),
        (["echo", "value=[1, null]"], [1, None]),
        (["octets"], "AP8bCg=="),
        (["harm"], f"first\tline\nsecond {application.HARM}"),
    ],
)
def test_json_is_the_result_and_nothing_else(server: Everything, words: list[str], result: object) -> None:
    done = letterhead("call", server.address, *words, "--json")
    assert (done.status, json.loads(done.out), done.err) == (0, result, "")
    assert not [character for character in application.OBEYED if character in done.out]


def test_an_error_is_json_with_its_code_and_facts(server: Everything) -> None:
    done = letterhead("call", server.address, "refuse", "--json")
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
    error = json.loads(done.err)["error"]
    assert (error["code"], error["name"]) == ("not-found", "thing")
    assert "no such\nthing" in error["message"]
    assert not [character for character in application.OBEYED if character in done.err]


def test_an_error_of_the_network_is_json_too(nobody: str) -> None:
    error = json.loads(letterhead("call", nobody, "greet", "--json").err)["error"]
    assert (error["code"], error["address"]) == ("connect-refused", nobody)


def test_wrong_usage_is_told_as_a_sentence_even_so(server: Everything) -> None:
    done = letterhead("call", server.address, "greet", "Ada", "--json")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("letterhead: an argument is written NAME=VALUE")


# What a server sends never reaches a terminal as something that it obeys.


@pytest.mark.parametrize("action", ["harm", "nested_harm"])
@pytest.mark.parametrize("run", [letterhead, on_terminal])
def test_a_result_cannot_command_the_terminal(server: Everything, action: str, run: Callable[..., Done]) -> None:
    done = run("call", server.address, action)
    assert done.status == 0
    assert "owned" in done.out
    assert not [character for character in application.OBEYED if character in done.out]


def test_a_result_keeps_its_lines_and_tabs(server: Everything) -> None:
    assert letterhead("call", server.address, "harm").out.startswith("first\tline\nsecond \\x1b]0;owned\\x07")


def test_escapes_in_json_are_still_json(server: Everything) -> None:
    done = letterhead("call", server.address, "nested_harm")
    assert json.loads(done.out) == {application.HARM: [application.HARM]}


def test_an_error_message_cannot_command_the_terminal(server: Everything) -> None:
    status, line = failure("call", server.address, "refuse")
    assert status == 1
    assert line.startswith(f"refuse at {server.address} failed (not-found): no such\\nthing \\x1b]0;owned")
    assert not [character for character in application.OBEYED if character in line]


# Mistakes and misfortunes: one line, and a status.


def test_an_unknown_action_is_told_with_where_to_look(server: Everything) -> None:
    status, line = failure("call", server.address, "gret", "name=Ada")
    assert status == 1
    assert line.startswith(f"gret at {server.address} failed (unknown-action): invalid action 'gret'; ")
    assert f"letterhead describe {server.address}" in line


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["name=Ada", "times=often"], "argument 'times': Expected `int`, got `str`"),
        (["times=2"], "greet needs the argument 'name'"),
        (["name=Ada", "time=2"], "greet has no argument 'time'; it takes name, times"),
    ],
)
def test_an_argument_that_does_not_fit_is_named(server: Everything, arguments: list[str], says: str) -> None:
    status, line = failure("call", server.address, "greet", *arguments)
    assert status == 1
    assert f"(invalid-argument): {says}; " in line


def test_a_number_for_a_text_is_told_how_to_be_text(server: Everything) -> None:
    status, line = failure("call", server.address, "greet", "name=3.50")
    assert status == 1
    (advice,) = re.findall(r"'(name=.*?)' sends text", line)
    assert letterhead("call", server.address, "greet", advice).out == "hello 3.50\n"


def test_a_failing_handler_is_told_without_its_secrets(server: Everything) -> None:
    status, line = failure("call", server.address, "crash")
    assert (status, "secret" in line) == (1, False)
    assert "(internal)" in line


def test_a_call_ends_after_its_timeout(server: Everything) -> None:
    status, line = failure("call", server.address, "wait", "--timeout", "0.4")
    assert status == 1
    # The server may be the first to say so: within what was left when the call came there.
    assert re.search(r"\(deadline-exceeded\): no answer within 0\.[1-4]\d* s; a longer --timeout waits longer$", line)
    assert server.slow.cancelled.wait(PATIENCE)


def test_a_server_that_is_down_is_told(nobody: str) -> None:
    status, line = failure("call", nobody, "greet")
    assert (status, line) == (1, f"nothing listens at {nobody}; is the server running, and is this its address?")


def test_a_name_that_does_not_exist_is_told() -> None:
    status, line = failure("call", "nowhere.invalid:80", "greet")
    assert status == 1
    assert line.startswith("the name 'nowhere.invalid' cannot be resolved: ")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak Letterhead: an HTTP answer came back"),
        (b"\x1b[2J\x1b[2J", "does not speak Letterhead"),
        (b"", "closed the connection without a reply"),
    ],
)
def test_a_server_that_is_none_of_ours_is_told(answer: bytes, says: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer_one() -> None:
            with listener.accept()[0] as sock:
                sock.recv(65536)
                sock.sendall(answer)

        thread = threading.Thread(target=answer_one)
        thread.start()
        status, line = failure("call", f"127.0.0.1:{listener.getsockname()[1]}", "greet")
        thread.join()
    assert status == 1
    assert says in line
    assert "\x1b" not in line


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["here", "greet"], "an address is HOST:PORT, [::1]:PORT, :PORT or unix:PATH, not 'here'"),
        (["127.0.0.1:http", "greet"], "a port is a number from 0 to 65535, not 'http'"),
        (["127.0.0.1:1", "greet", "Ada"], "an argument is written NAME=VALUE, not 'Ada'"),
        (["127.0.0.1:1", "greet", "=Ada"], "an argument is written NAME=VALUE, not '=Ada'"),
        (["127.0.0.1:1", "greet", "name=Ada", "name=Eve"], "the argument 'name' stands there twice"),
        (["127.0.0.1:1", ""], "ACTION is empty"),
        (["127.0.0.1:1"], "Missing argument 'ACTION'; see 'python -m letterhead call --help'"),
        (["127.0.0.1:1", "greet", "--timeout", "0"], "Invalid value for '--timeout'"),
        (["127.0.0.1:1", "greet", "--bogus"], "No such option '--bogus'"),
    ],
)
def test_wrong_usage_is_status_2(words: list[str], says: str) -> None:
    status, line = failure("call", *words)
    assert status == 2
    assert says in line


def test_ctrl_c_ends_a_call_quietly(server: Everything) -> None:
    with ended(
        subprocess.Popen([*COMMAND, "call", server.address, "wait"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    ) as process:
        assert server.slow.begun.wait(PATIENCE)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err.strip()) == (130, b"", b"")
    assert server.slow.cancelled.wait(PATIENCE)


def test_nobody_who_reads_is_no_reason_for_a_traceback(server: Everything) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*COMMAND, "call", server.address, "greet", "name=Ada"], stdout=writing, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


def test_what_stdout_cannot_express_is_escaped(server: Everything) -> None:
    done = letterhead("call", server.address, "greet", "name=🐶", PYTHONIOENCODING="latin-1")
    assert done.out == "hello \\U0001f436\n"


@pytest.mark.parametrize("words", [["call", "ADDRESS", "greet", "name=Ada"], ["ping", "ADDRESS"]])
def test_calls_and_pings_import_nothing_heavy(server: Everything, words: list[str]) -> None:
    typed = [server.address if word == "ADDRESS" else word for word in words]
    done = subprocess.run(
        [COMMAND[0], "-X", "importtime", *COMMAND[1:], *typed], capture_output=True, text=True, check=True
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert {"click", "msgspec", "letterhead"} <= imported
    assert not imported & {"asyncio", "uvloop", "rich", "sqlite3", "concurrent", "logging", "subprocess"}


# Streams


@pytest.mark.smoke
def test_items_that_are_no_text_are_lines_of_json(server: Everything) -> None:
    for words in ([], ["--json"]):
        assert letterhead("call", server.address, "count", "to=3", *words) == (0, "0\n1\n2\n", "")
    assert letterhead("call", server.address, "count", "to=0") == (0, "", "")


def test_an_item_cannot_command_the_terminal(server: Everything) -> None:
    for run in (letterhead, on_terminal):
        done = run("call", server.address, "harms")
        assert done.out == f'{harmless(application.HARM)}\n"AP8="\n'
        assert not [character for character in application.OBEYED if character in done.out]


def test_an_item_as_json_cannot_command_the_terminal(server: Everything) -> None:
    for run in (letterhead, on_terminal):
        done = run("call", server.address, "harms", "--json")
        assert [json.loads(line) for line in done.out.splitlines()] == [application.HARM, "AP8="]
        assert not [character for character in application.OBEYED if character in done.out]


def test_an_error_after_items_is_told_after_them(server: Everything) -> None:
    done = letterhead("call", server.address, "count", "to=2", "then=sold-out")
    assert (done.status, done.out) == (1, "0\n1\n")
    assert done.err == f"letterhead: count at {server.address} failed (sold-out): no more\n"


def test_ctrl_c_ends_a_stream_quietly(server: Everything) -> None:
    with ended(
        subprocess.Popen([*COMMAND, "call", server.address, "forever"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"0\n", "each item is printed as it comes"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err.strip()) == (130, b"", b"")
    assert server.slow.cancelled.wait(PATIENCE)


def test_a_timeout_ends_a_stream(server: Everything) -> None:
    done = letterhead("call", server.address, "forever", "--timeout", "0.3")
    assert (done.status, done.out) == (1, "0\n")
    assert "(deadline-exceeded)" in done.err
    assert server.slow.cancelled.wait(PATIENCE)


def test_whoever_reads_no_further_ends_a_stream(server: Everything) -> None:
    with ended(
        subprocess.Popen(
            [*COMMAND, "call", server.address, "count", "to=100000000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        process.wait(PATIENCE)
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_the_lines_of_stdin_are_streamed(server: Everything) -> None:
    typed = 'text\n3\n[1, 2]\n\nnull\r\n"3"\nthe last'
    done = letterhead("call", server.address, "collect", "--stdin", "--json", stdin=typed)
    assert (done.status, json.loads(done.out)) == (0, ["text", 3, [1, 2], "", None, "3", "the last"])
    assert json.loads(letterhead("call", server.address, "collect", "--stdin", "--json").out) == []


def test_items_of_text_are_printed_plainly(server: Everything) -> None:
    typed = 'a\n"b"\n'
    assert letterhead("call", server.address, "upper", "--stdin=text", stdin=typed).out == 'A\n"B"\n'


def test_items_of_text_are_json_where_that_is_wanted(server: Everything) -> None:
    done = letterhead("call", server.address, "upper", "--stdin=text", "--json", stdin='a\n"b"\n')
    assert done.out == '"A"\n"\\"B\\""\n'


def test_named_arguments_go_beside_stdin(server: Everything) -> None:
    done = letterhead("call", server.address, "collect", "first=true", "--stdin", "--json", stdin="1\n2\n3\n")
    assert json.loads(done.out) == [1]


def test_an_early_answer_does_not_wait_for_the_end_of_stdin(server: Everything) -> None:
    with ended(
        subprocess.Popen(
            [*COMMAND, "call", server.address, "collect", "first=true", "--stdin", "--json"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"1\n")
        process.stdin.flush()
        assert json.loads(process.stdout.read()) == [1]
        assert process.wait(PATIENCE) == 0
        process.stdin.close()


def test_ctrl_c_ends_it_while_stdin_is_waited_for(server: Everything) -> None:
    with ended(
        subprocess.Popen(
            [*COMMAND, "call", server.address, "upper", "--stdin"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"a\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"A\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        assert process.stderr.read().strip() == b""
        process.stdin.close()


def piped(data: bytes, *words: str) -> tuple[int, bytes, bytes]:
    done = subprocess.run([*COMMAND, "call", *words], input=data, capture_output=True, check=False, timeout=PATIENCE)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("form", ["values", "text"])
def test_stdin_that_is_no_text_is_told_by_its_line(server: Everything, form: str) -> None:
    status, out, err = piped(b"1\n\xff\n", server.address, "collect", f"--stdin={form}")
    assert (status, out) == (1, b"")
    assert err == b"letterhead: line 2 of standard input is not UTF-8; --stdin=bytes sends bytes\n"


def test_stdin_alone_is_values(server: Everything) -> None:
    typed = "text\n3\n"
    alone, named = (
        letterhead("call", server.address, "collect", word, stdin=typed) for word in ("--stdin", "--stdin=values")
    )
    assert json.loads(alone.out) == ["text", 3]
    assert alone == named


def test_the_word_behind_stdin_is_not_its_value(server: Everything) -> None:
    done = letterhead("call", "--stdin", server.address, "collect", "--stdin", "first=true", stdin="1\n2\n")
    assert (done.status, json.loads(done.out)) == (0, [1])


def test_behind_two_hyphens_stdin_is_a_word(server: Everything) -> None:
    status, line = failure("call", server.address, "collect", "--", "--stdin")
    assert status == 2
    assert "not '--stdin'" in line


def test_lines_as_text_are_sent_as_they_stand(server: Everything) -> None:
    typed = b'text\n42\n"quoted"\n\n null \r\nthe last'
    status, out, _ = piped(typed, server.address, "collect", "--stdin=text", "--json")
    assert (status, json.loads(out)) == (0, ["text", "42", '"quoted"', "", " null \r", "the last"])


def test_a_line_may_come_in_many_reads(server: Everything) -> None:
    line = "größer" * 50_000
    done = letterhead("call", server.address, "collect", "--stdin=text", "--json", stdin=f"{line}\nb\n{line}")
    assert json.loads(done.out) == [line, "b", line]


def test_a_line_longer_than_any_item_is_refused(server: Everything) -> None:
    status, out, err = piped(b"a\n" + bytes((16 << 20) + 1), server.address, "collect", "--stdin=text")
    assert (status, out) == (1, b"")
    assert err == (
        b"letterhead: line 2 of standard input is longer than an item may be, 16,777,216 bytes; "
        b"--stdin=bytes sends pieces\n"
    )


def test_bytes_are_sent_as_they_are(server: Everything) -> None:
    sent = bytes(range(256)) * 1_000
    status, out, err = piped(sent, server.address, "pieces", "--stdin=bytes")
    sizes = json.loads(out.splitlines()[0])
    assert (status, err, out.splitlines()[1].decode()) == (0, b"", hashlib.sha256(sent).hexdigest())
    assert sum(sizes) == len(sent)
    assert 0 < min(sizes) <= max(sizes) <= 64 * 1024


def test_without_bytes_there_is_no_piece(server: Everything) -> None:
    assert json.loads(piped(b"", server.address, "pieces", "--stdin=bytes")[1].splitlines()[0]) == []


def test_another_form_of_stdin_is_refused(server: Everything) -> None:
    status, line = failure("call", server.address, "collect", "--stdin=lines")
    assert status == 2
    assert "'lines' is not one of 'values', 'text', 'bytes'" in line


def test_an_action_that_takes_no_stream_is_told_so(server: Everything) -> None:
    status, line = failure("call", server.address, "greet", "--stdin", stdin="Ada")
    assert status == 1
    assert "greet takes no stream" in line


@pytest.mark.parametrize("words", [[], ["values=3"]])
def test_where_a_stream_is_missing_stdin_is_named(server: Everything, words: list[str]) -> None:
    status, line = failure("call", server.address, "collect", *words)
    assert status == 1
    assert "argument 'values' is a stream: --stdin streams the lines of standard input to it; " in line
    assert "iter(" not in line


@pytest.mark.parametrize(
    ("action", "form", "hint"),
    [
        ("upper", "values", "; --stdin=text sends each line as text; "),
        ("upper", "bytes", "; --stdin=text sends each line as text; "),
        ("pieces", "values", "; --stdin=bytes sends bytes; "),
        ("pieces", "text", "; --stdin=bytes sends bytes; "),
    ],
)
def test_where_items_do_not_fit_the_form_that_does_is_named(
    server: Everything, action: str, form: str, hint: str
) -> None:
    status, line = failure("call", server.address, action, f"--stdin={form}", stdin="42\n")
    assert status == 1
    assert hint in line
