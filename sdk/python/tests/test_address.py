import unittest

import sala
from sala._address import parse_address


class AddressTest(unittest.TestCase):
    def test_plaintext_only_at_this_machine_or_when_asked_for(self):
        for address, options, secure in (
            ("127.0.0.1:9090", {}, False),
            ("localhost:9090", {}, False),
            ("[::1]:9090", {}, False),
            ("127.0.0.1:9090", {"tls": True}, True),
            ("10.0.0.1:9090", {}, True),
            ("sala.example.com:443", {}, True),
            ("sala.example.com:9090", {"plaintext": True}, False),
            ("http://sala.example.com:9090", {}, False),
            ("https://127.0.0.1:9090/", {}, True),
            ("localhost.example.com:9090", {}, True),
        ):
            with self.subTest(address=address, **options):
                options = {"tls": None, "plaintext": False} | options
                parsed = parse_address(address, **options)
                self.assertEqual(parsed.credentials is not None, secure)
                self.assertEqual(parsed.target, address.rpartition("//")[2].rstrip("/"))

    def test_what_can_not_be_meant_is_refused(self):
        for address, options in (
            ("127.0.0.1", {}),
            ("", {}),
            ("ftp://127.0.0.1:1", {}),
            ("user@127.0.0.1:1", {}),
            ("http://127.0.0.1:1/path", {}),
            ("https://127.0.0.1:1", {"plaintext": True}),
            ("http://127.0.0.1:1", {"tls": True}),
            ("127.0.0.1:1", {"tls": True, "plaintext": True}),
            ("10.0.0.1:1", {"tls": False}),
            ("10.0.0.1:1", {"tls": sala.TLS(cert="x")}),
        ):
            with self.subTest(address=address, **options), self.assertRaises(ValueError):
                sala.Client(address, key="k", **options)
        for key in ("", "two words", "secret\n", "secr\u00e9t", "\u2026"):
            with self.subTest(key=key), self.assertRaises(ValueError) as raised:
                sala.Client("127.0.0.1:1", key=key)
            self.assertNotRegex(str(raised.exception), "secr|words")
        with self.assertRaises(OSError):
            sala.Client("10.0.0.1:1", key="k", tls=sala.TLS(ca="/nowhere/ca.pem"))
