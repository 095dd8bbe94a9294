"""The trace format: reading, comparing, rewriting."""

import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftpb.enums import ADD_LEARNER_NODE, ADD_NODE
from rafttest.trace import file as file_format
from rafttest.trace.command import (
    Argument,
    Command,
    CommandError,
    CommandRefusedError,
    Shape,
    parse_command,
    to_bool,
    to_number,
    to_steps,
)
from rafttest.trace.comparison import significant_lines, unified_diff, visible
from rafttest.trace.file import MalformedTraceError, Trace, parse_trace, read_trace
from rafttest.trace.rewrite import replace_file, rewritten


def only(text: str) -> Command:
    (directive,) = parse_trace(text).directives
    return directive.command


def expected(text: str) -> list[str]:
    return [directive.expected for directive in parse_trace(text).directives]


# -- command lines


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        pytest.param("do", (), id="none"),
        pytest.param("do 1 two", (("1",), ("two",)), id="words"),
        pytest.param("do   1    2  ", (("1",), ("2",)), id="spaces do not count"),
        pytest.param("do key=value", (("key", "value"),), id="a value"),
        pytest.param("do key=", (("key", ""),), id="one empty value"),
        pytest.param("do key= 1", (("key", ""), ("1",)), id="an empty value, then a word"),
        pytest.param("do key=()", (("key", ""),), id="an empty list is one empty value"),
        pytest.param("do key=(1,2,3)", (("key", "1", "2", "3"),), id="a list"),
        pytest.param("do key=(1,   2 , 3)", (("key", "1", "2 ", "3"),), id="spaces after a comma are skipped"),
        pytest.param("do key=(a b, c)", (("key", "a b", "c"),), id="spaces within a value"),
        pytest.param("do key=(,)", (("key", "", ""),), id="two empty values"),
        pytest.param("do key=(f(1, 2), (3))", (("key", "f(1, 2)", "(3)"),), id="nested lists are not split"),
        pytest.param("do a=1 b a=2", (("a", "1"), ("b",), ("a", "2")), id="repeated keys stay in order"),
        pytest.param("do a=b=c", (("a", "b=c"),), id="the first = ends the key"),
        pytest.param("do a=b(c d", (("a", "b(c"), ("d",)), id="a plain value is not a list"),
        pytest.param("do (a", (("(a",),), id="a word may open a parenthesis"),
    ],
)
def test_arguments(line: str, arguments: tuple[tuple[str, ...], ...]) -> None:
    assert parse_command(line) == Command("do", tuple(Argument(one[0], one[1:]) for one in arguments))


@pytest.mark.parametrize(
    ("line", "column"),
    [
        pytest.param("do =x", 4, id="a value without a key"),
        pytest.param("do a b  =x", 9, id="a value without a key, later"),
        pytest.param("do a=(1", 6, id="a list that does not end"),
        pytest.param("do a=(1,(2)", 6, id="a nested list that ends, in one that does not"),
        pytest.param("do a=(1)x", 9, id="text right after a list"),
    ],
)
def test_a_line_that_cannot_be_parsed_names_its_column(line: str, column: int) -> None:
    with pytest.raises(CommandError) as raised:
        parse_command(line)
    assert str(raised.value) == f"cannot parse directive at column {column}: {line}"


words = st.text(st.characters(exclude_characters=" =(),\\\n", exclude_categories=["C", "Z"]), min_size=1)


@given(words, st.lists(st.tuples(words, st.lists(words, max_size=3))))
def test_a_command_line_says_what_was_put_into_it(name: str, arguments: list[tuple[str, list[str]]]) -> None:
    parts = [f"{key}=({', '.join(values)})" if values else key for key, values in arguments]
    assert parse_command(" ".join([name, *parts])) == Command(
        name, tuple(Argument(key, tuple(values)) for key, values in arguments)
    )


def test_accessors() -> None:
    command = parse_command("do 1 a=1 2 a=(2,3) b=true c=7")
    assert command.words() == ["1", "2"]
    assert command.values("a") == ["1", "2", "3"]
    assert command.value("c") == "7"
    assert command.value("d") is None
    assert command.number("c", 5) == 7
    assert command.number("d", 5) == 5
    assert command.flag("b")
    assert not command.flag("d")


def test_an_option_of_one_value_must_not_have_several() -> None:
    with pytest.raises(CommandError, match="a takes one value, not 2"):
        parse_command("do a=(1,2)").value("a")


@pytest.mark.parametrize("text", ["", "x", "-1", "+1", "1.5", "1_0", " 1", "٣", "9223372036854775808"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(CommandError, match="is not a number"):
        to_number(text)


def test_numbers_reach_up_to_the_largest_of_the_core() -> None:
    assert [to_number(text) for text in ("0", "007", "9223372036854775807")] == [0, 7, 2**63 - 1]


def test_booleans() -> None:
    assert all(to_bool(text) for text in ("1", "t", "T", "true", "True", "TRUE"))
    assert not any(to_bool(text) for text in ("0", "f", "F", "false", "False", "FALSE"))
    for text in ("", "yes", "tRUE", "2"):
        with pytest.raises(CommandError, match="neither true nor false"):
            to_bool(text)


def test_steps_that_are_none_are_refused_in_the_words_of_the_reference() -> None:
    assert [(step.type, step.node_id) for step in to_steps("v1 l2")] == [(ADD_NODE, 1), (ADD_LEARNER_NODE, 2)]
    with pytest.raises(CommandRefusedError, match=r"^unknown input: x1$"):
        to_steps("x1")


@pytest.mark.parametrize(
    ("shape", "line", "complaint"),
    [
        pytest.param(Shape(min_words=1), "do", "needs at least 1", id="too few words"),
        pytest.param(Shape(max_words=1), "do 1 2", "does not take '2'", id="too many words"),
        pytest.param(Shape(options=("a",)), "do b=1", "no option 'b'", id="unknown option"),
        pytest.param(Shape(), "do\ninput", "takes no input", id="input where none belongs"),
        pytest.param(Shape(takes_input=True), "do\na\n\nb", "takes one line of input", id="input of several lines"),
    ],
)
def test_a_shape_refuses(shape: Shape, line: str, complaint: str) -> None:
    first, _, body = line.partition("\n")
    with pytest.raises(CommandError, match=complaint):
        shape.check(parse_command(first, body))


@pytest.mark.parametrize(
    ("shape", "line"),
    [
        pytest.param(Shape(min_words=1, max_words=2, options=("a", "b")), "do 1 2 a=1 b=2 a=3", id="all it lists"),
        pytest.param(Shape(max_words=None), "do 1 2 3 4 5", id="any number of words"),
        pytest.param(Shape(options=None), "do anything=1", id="any option"),
        pytest.param(Shape(takes_input=True), "do\ninput", id="input"),
    ],
)
def test_a_shape_accepts(shape: Shape, line: str) -> None:
    first, _, body = line.partition("\n")
    shape.check(parse_command(first, body))


# -- files


def test_a_trace_has_commands_with_input_and_expected_output() -> None:
    trace = parse_trace("# what for\n\nfirst 1\n----\none\n  two\n\n  # more\nsecond\n  v1 v2  \n----\nthree")
    first, second = trace.directives
    assert (first.line, first.text, first.expected, first.block) == (3, "first 1", "one\n  two\n", range(3, 6))
    assert (second.line, second.text, second.expected) == (9, "second", "three\n")
    assert first.command == Command("first", (Argument("1"),))
    assert second.command == Command("second", (), "v1 v2")


@pytest.mark.parametrize(
    ("text", "command"),
    [
        pytest.param("do a \\\n  b \\\nc\n----\n", "do a b c", id="a backslash goes on in the next line"),
        pytest.param("do a\\\nb\n----\n", "do a b", id="and is a space itself"),
        pytest.param("do a\\ \nb\n----\n", "do a b", id="blanks after it do not count"),
        pytest.param("do a\\b\n----\n", "do a\\b", id="within a line it is a character"),
        pytest.param("\t do a \n----\n", "do a", id="blanks around a command do not count"),
    ],
)
def test_command_lines_of_files(text: str, command: str) -> None:
    assert only(text) == parse_command(command)


def test_comments_after_the_command_are_input() -> None:
    assert only("do\n# no comment\n\n  x\n----\n").input == "# no comment\n\n  x"


@pytest.mark.parametrize(
    ("text", "outputs"),
    [
        pytest.param("a\n----\nok\n\nb\n----\nok\n", ["ok\n", "ok\n"], id="a blank line ends an output"),
        pytest.param("a\n----\nok\n \t\nb\n----\nok\n", ["ok\n", "ok\n"], id="so does one of spaces and tabs"),
        pytest.param("a\n----\nok", ["ok\n"], id="and the end of the file"),
        pytest.param("a\n----\n\nb\n----\n", ["", ""], id="an output may be empty"),
        pytest.param("a\n----\nx\n----\ny\n", ["x\n----\ny\n"], id="a later separator is output"),
        pytest.param("a\r\n----\r\nok\r\n\r\n", ["ok\n"], id="line ends of other systems"),
        pytest.param("a\n----\n----\nx\n\ny\n----\n----\n", ["x\n\ny\n"], id="a fence allows blank lines"),
        pytest.param(
            "a\n----\n----\n\n----\nx\n----\n----\n\nb\n----\nok", ["\n----\nx\n", "ok\n"], id="and separators"
        ),
        pytest.param("a\n----\n----\n----\n----\n", [""], id="a fence around nothing"),
        pytest.param("a\n----\nx\x0by\u2028z\n", ["x\x0by\u2028z\n"], id="only newlines end lines"),
    ],
)
def test_expected_outputs(text: str, outputs: list[str]) -> None:
    assert expected(text) == outputs


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        pytest.param("# hi\n\ndo 1\nok\n", 3, "no expected block", id="no separator"),
        pytest.param("do 1\n---- \nok\n", 1, "no expected block", id="a separator with a space is none"),
        pytest.param("ok\n----\nok\n\ndo 1\n-----\n", 5, "no expected block", id="nor is one of five dashes"),
        pytest.param("do \\\n", 1, "ends within a command", id="a backslash at the end"),
        pytest.param("a\n----\nok\n\ndo =1\n----\n", 5, "column 4: do =1", id="a line that cannot be parsed"),
        pytest.param("do\n----\n----\nx\n----\n", 2, "none close", id="a fence that does not close"),
        pytest.param("do\n----\n----\nx\n----\n----\ny\n", 7, "blank line must follow", id="text behind a fence"),
    ],
)
def test_malformed_files_name_the_place(text: str, line: int, complaint: str) -> None:
    with pytest.raises(MalformedTraceError, match=complaint) as raised:
        parse_trace(text, "folder/some.txt")
    assert (raised.value.path, raised.value.line) == ("folder/some.txt", line)
    assert str(raised.value).startswith(f"folder/some.txt:{line}: ")


def test_the_error_can_be_pickled() -> None:
    error = pickle.loads(pickle.dumps(MalformedTraceError("a.txt", 3, "why")))
    assert (str(error), error.detail) == ("a.txt:3: why", "why")


def test_files_must_be_utf8(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes(b"do\n----\nok\n\n# caf\xe9\n")
    with pytest.raises(MalformedTraceError, match=r"latin\.txt:5: not UTF-8: byte 0xe9"):
        read_trace(path)


def test_huge_files_are_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "huge.txt"
    with path.open("wb") as file:
        file.truncate(file_format.MAX_FILE_SIZE + 1)
    with pytest.raises(MalformedTraceError, match="larger than 64 MiB"):
        read_trace(path)


# -- comparison


@pytest.mark.parametrize(
    ("output", "lines"),
    [
        pytest.param("", [], id="an output without any line is not ok"),
        pytest.param("ok\n", ["ok"], id="ok"),
        pytest.param("ok", ["ok"], id="the last newline does not count"),
        pytest.param("INFO said\n", ["ok"], id="nothing but log lines is ok"),
        pytest.param("a\nWARN said\n  DEBUG said\n\tERROR said\nFATAL said\nb\n", ["a", "b"], id="log lines"),
        pytest.param(
            "INFORM\nDEBUG\nxINFO said\ninfo said\n", ["INFORM", "DEBUG", "xINFO said", "info said"], id="no log"
        ),
        pytest.param("a  \n  b \n", ["a", "  b"], id="spaces at the end"),
        pytest.param("a\t\n", ["a\t"], id="tabs at the end count"),
        pytest.param("a\n\n", ["a", ""], id="blank lines count"),
    ],
)
def test_what_counts(output: str, lines: list[str]) -> None:
    assert significant_lines(output) == lines


line_text = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]))


@given(st.lists(line_text, min_size=1), st.data())
def test_a_changed_character_is_always_seen(lines: list[str], data: st.DataObject) -> None:
    """Changed to one that is neither a space nor part of a log level."""
    output = "".join(line + "\n" for line in lines)
    kept = [at for at, line in enumerate(lines) if significant_lines(line + "\n") == [line.rstrip(" ")] and line]
    if kept:
        at = data.draw(st.sampled_from(kept))
        position = data.draw(st.integers(0, len(lines[at]) - 1))
        character = data.draw(st.sampled_from("zq7-").filter(lambda c: c != lines[at][position]))
        changed = lines[at][:position] + character + lines[at][position + 1 :]
        other = "".join(line + "\n" for line in [*lines[:at], changed, *lines[at + 1 :]])
        assert significant_lines(other) != significant_lines(output)


@given(st.lists(line_text), st.lists(st.sampled_from(["INFO a", "  WARN b", "DEBUG c  "])), st.randoms())
def test_log_lines_and_spaces_at_the_end_are_never_seen(lines: list[str], log: list[str], random: object) -> None:
    del random
    plain = "".join(line + "\n" for line in [*lines, "end"])
    noisy = "".join(line + "  \n" for line in [*log, *lines, *log, "end", *log])
    assert significant_lines(noisy) == significant_lines(plain)


def test_a_diff_shows_only_what_counts() -> None:
    assert unified_diff("a\nINFO x\nb \n", "a\nc\n")[2:] == ["@@ -1,2 +1,2 @@", " a", "-b", "+c"]
    assert unified_diff("a\nINFO x\n", "a \n") == []


def test_a_diff_escapes_what_a_terminal_would_obey() -> None:
    assert visible("a\x1b[2J\u200b∞ b\t") == "a\\x1b[2J\\u200b∞ b\\t"
    assert "+\\x1b[2J" in unified_diff("ok", "\x1b[2J")


# -- rewriting


def trace_of(outputs: list[str]) -> Trace:
    """A trace with one command an output; nothing is expected yet."""
    return parse_trace("".join(f"# number {at}\ncommand {at} \\\n  x\n----\n\n" for at in range(len(outputs))))


outputs = st.lists(
    st.lists(line_text.filter(lambda line: line != "----" and not line.endswith("\r")), min_size=1).map(
        lambda lines: "".join(line + "\n" for line in lines)
    ),
    min_size=1,
)


@given(outputs)
def test_what_was_rewritten_reads_as_it_was_written(texts: list[str]) -> None:
    trace = trace_of(texts)
    new = rewritten(trace, {directive.line: text for directive, text in zip(trace.directives, texts, strict=True)})
    again = parse_trace(new)
    assert [directive.command for directive in again.directives] == [one.command for one in trace.directives]
    for directive, text in zip(again.directives, texts, strict=True):
        assert significant_lines(directive.expected) == significant_lines(text)
    assert rewritten(again, {one.line: text for one, text in zip(again.directives, texts, strict=True)}) == new


def test_only_the_blocks_named_change() -> None:
    text = "# one\na \\\n b\n----\nINFO keep\nok  \n\n\n# two\nc\n----\nold\nold\n\n# end\n\n"
    trace = parse_trace(text)
    assert rewritten(trace, {}) == text
    assert rewritten(trace, {10: "new\nINFO not kept\n"}) == text.replace("old\nold", "new")


@pytest.mark.parametrize(
    ("output", "block"),
    [
        pytest.param("INFO x\n", "----\nok\n", id="nothing but log lines"),
        pytest.param("a\n\nb\n", "----\n----\na\n\nb\n----\n----\n", id="a blank line"),
        pytest.param("a\n\t\n", "----\n----\na\n\t\n----\n----\n", id="a line of tabs"),
    ],
)
def test_blocks(output: str, block: str) -> None:
    assert rewritten(parse_trace("do\n----"), {1: output}) == "do\n" + block


def test_an_output_with_a_separator_cannot_be_written() -> None:
    with pytest.raises(MalformedTraceError, match="1: the output has a line of ----"):
        rewritten(parse_trace("do\n----"), {1: "a\n----\n"})


def test_replacing_a_file_keeps_its_mode_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o640)
    replace_file(path, "new ∞\n")
    assert path.read_bytes() == "new ∞\n".encode()
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_file_that_cannot_be_replaced_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        replace_file(path, "half of a pair: \ud800")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]
