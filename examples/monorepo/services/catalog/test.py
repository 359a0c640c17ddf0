import os
import unittest

from catalog import Catalog


class CatalogTest(unittest.TestCase):
    def setUp(self):
        self.path = os.environ["STORE_PATH"] if os.environ["STORE"] == "file" else None
        if self.path and os.path.exists(self.path):
            os.remove(self.path)

    def test_things_have_names(self):
        self.assertEqual(Catalog(self.path).find("1"), "kettle")
        self.assertIsNone(Catalog(self.path).find("7"))

    def test_only_a_file_remembers(self):
        Catalog(self.path).rename("1", "pot")
        self.assertEqual(Catalog(self.path).find("1"), "pot" if self.path else "kettle")
