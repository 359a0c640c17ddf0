import os
import unittest

from prices import Prices


class PricesTest(unittest.TestCase):
    def setUp(self):
        self.path = os.environ["STORE_PATH"] if os.environ["STORE"] == "file" else None
        if self.path and os.path.exists(self.path):
            os.remove(self.path)

    def test_cents_have_two_digits(self):
        self.assertEqual(Prices(self.path).show("teapot"), "18.50")

    def test_only_a_file_remembers(self):
        Prices(self.path).raise_by("teapot", 10)
        self.assertEqual(Prices(self.path).show("teapot"), "20.35" if self.path else "18.50")
