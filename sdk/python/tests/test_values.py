import json
import unittest
from datetime import datetime, timezone

from sala._values import (
    decode_args,
    encode_args,
    from_value,
    names,
    to_duration,
    to_timestamp,
    to_value,
)


class ArgsTest(unittest.TestCase):
    def test_arguments_come_back_as_they_were(self):
        for args in (
            [],
            [None],
            [1, 2**80, 1.5, "two", True, {"a": [1, {"b": None}]}],
            ["hé👍", "half an emoji \ud83d"],
            [b"", b"\x00\xff", {"file": b"x", "list": [b"y"]}],
        ):
            with self.subTest(args=args):
                text, attachments = encode_args(args)
                text.encode()  # protobuf takes only this
                self.assertEqual(decode_args(text, attachments), args)

    def test_binary_data_becomes_placeholders_in_order(self):
        text, attachments = encode_args([b"a", {"b": bytearray(b"b")}])
        self.assertEqual(attachments, [b"a", b"b"])
        placeholders = [{"_placeholder": True, "num": n} for n in (0, 1)]
        self.assertEqual(json.loads(text), [placeholders[0], {"b": placeholders[1]}])

    def test_what_is_not_json_is_refused(self):
        for value in (object(), {1, 2}, float("nan"), float("inf"), datetime.now()):
            with self.subTest(value=value), self.assertRaises((TypeError, ValueError)):
                encode_args([value])

    def test_an_object_that_looks_like_a_placeholder_stays(self):
        for text in ('[{"_placeholder":true,"num":5}]', '[{"_placeholder":true,"num":-1}]'):
            self.assertEqual(decode_args(text, [b"x"]), json.loads(text))

    def test_what_a_stranger_sends_raises_nothing_but_value_error(self):
        self.assertEqual(decode_args("", []), [])
        self.assertEqual(decode_args("[" + "1" * 5000 + "]", []), [float("inf")])
        for text in ("[" * 100_000 + "]" * 100_000, '{"a":1}', "[1"):
            with self.subTest(text=text[:10]), self.assertRaises(ValueError):
                decode_args(text, [])


class ValueTest(unittest.TestCase):
    def test_values_come_back_as_they_were(self):
        for value in (None, True, 0, 7, -1.5, "x", [1, [None]], {"a": {"b": [1, 2.5]}}):
            with self.subTest(value=value):
                back = from_value(to_value(value))
                self.assertEqual(back, value)
                self.assertIs(type(back), type(value))

    def test_names_are_one_or_several(self):
        self.assertEqual(names("chat:42"), ["chat:42"])
        self.assertEqual(names(42), ["42"])
        self.assertEqual(names(["a", 7]), ["a", "7"])
        with self.assertRaises(TypeError):
            names([None])  # type: ignore[list-item]
        with self.assertRaises(TypeError):
            names(b"chat:42")

    def test_times_need_a_zone(self):
        self.assertEqual(
            to_timestamp(datetime(2020, 1, 1, tzinfo=timezone.utc)).seconds, 1577836800
        )
        with self.assertRaises(ValueError):
            to_timestamp(datetime(2020, 1, 1))
        self.assertEqual(to_duration(1.5).ToMilliseconds(), 1500)
