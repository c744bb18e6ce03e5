"""The control socket's lines: what is a request, what is garbage, and that an answer is always strict JSON."""

import json
from random import Random
from types import MappingProxyType

import pytest
from orjson import Fragment

from polybot.control.wire import VERBS, Request, encode, parse_request
from polybot.errors import DecodeError


def test_every_verb_is_taken_with_and_without_words():
    for verb in VERBS:
        assert parse_request(json.dumps({"do": verb}).encode()) == Request(verb)
    line = json.dumps({"do": "halt", "reason": "news at ten", "via": "phone"}).encode()
    assert parse_request(line) == Request("halt", "news at ten", "phone")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"", "not_json"),
        (b"status", "not_json"),
        (b"\xff\xfe\x00", "not_json"),
        (b"[" * 100_000, "not_json"),
        (b'"status"', "not_an_object"),
        (b"[]", "not_an_object"),
        (b"null", "not_an_object"),
        (b"{}", "unknown_verb"),
        (b'{"do": "sell_everything"}', "unknown_verb"),
        (b'{"do": "HALT"}', "unknown_verb"),
        (b'{"do": 1}', "not_text"),
        (b'{"do": "halt", "reason": null}', "not_text"),
        (b'{"do": "halt", "reason": {"a": 1}}', "not_text"),
        (b'{"do": "halt", "by": "root"}', "unknown_field"),
    ],
)
def test_garbage_is_refused_in_words(line, code):
    with pytest.raises(DecodeError) as caught:
        parse_request(line)
    assert caught.value.code == code


def test_words_of_an_operator_become_one_printable_line_of_bounded_length():
    line = json.dumps({"do": "halt", "reason": "a\nb\x1b[31mc\r\n" + "z" * 500}).encode()
    reason = parse_request(line).reason
    assert reason.isprintable()
    assert reason.startswith("a b [31mc  zz")
    assert len(reason) <= 200


def test_an_answer_is_one_line_of_strict_json_whatever_the_numbers_are():
    data = {"a": float("nan"), "b": [float("inf"), 1.5, {"c": -float("inf")}], "d": ("x\ny", None, True)}
    text = encode(data)
    assert text.count(b"\n") == 1
    assert json.loads(text) == {"a": None, "b": [None, 1.5, {"c": None}], "d": ["x\ny", None, True]}


def test_random_bytes_never_do_anything_but_parse_or_be_refused():
    random, outcomes = Random(7), {"parsed": 0, "refused": 0}
    good = json.dumps({"do": "halt", "reason": "x"}).encode()
    for _ in range(5_000):
        line = bytearray(good)
        for _ in range(random.randint(0, 4)):
            line[random.randrange(len(line))] = random.randrange(256)
        try:
            outcomes["parsed"] += parse_request(bytes(line)).verb in VERBS
        except DecodeError:
            outcomes["refused"] += 1
    assert sum(outcomes.values()) == 5_000
    assert min(outcomes.values()) > 100


def test_a_cursor_is_digits_or_nothing():
    assert parse_request(b'{"do": "watch", "since": "12"}').since == 12
    assert parse_request(b'{"do": "watch", "since": ""}').since is None
    assert parse_request(b'{"do": "watch"}').since is None
    for cursor in ('"-1"', '"1e3"', '" 1"', '"' + "9" * 19 + '"', '"\\u0661"', '"x"'):
        with pytest.raises(DecodeError) as caught:
            parse_request(b'{"do": "watch", "since": %s}' % cursor.encode())
        assert caught.value.code == "not_a_cursor"
    with pytest.raises(DecodeError) as caught:
        parse_request(b'{"do": "watch", "since": 12}')
    assert caught.value.code == "not_text"


def test_parts_that_are_json_already_are_handed_on_as_they_are():
    data = {"events": [Fragment(b'{"seq":1}'), Fragment(b'{"seq":2}')], 3: MappingProxyType({"a": 1})}
    assert json.loads(encode(data)) == {"events": [{"seq": 1}, {"seq": 2}], "3": {"a": 1}}
    with pytest.raises(TypeError):
        encode({"a": object()})


def test_half_a_surrogate_pair_does_not_keep_an_answer_from_being_one():
    with pytest.raises(DecodeError) as caught:
        parse_request(b'{"\\ud800": "x"}')
    assert json.loads(encode({"error": str(caught.value), "more": ["\ud800", {"a": 1.5}]}))["more"] == ["?", {"a": 1.5}]
