import subprocess
import unittest


class WebTest(unittest.TestCase):
    def test_a_page_shows_name_and_price(self):
        page = subprocess.check_output(["./web.sh", "kettle", "24.90"], text=True)
        self.assertEqual(page, "<h1>kettle</h1>\n<p>only 24.90</p>\n")
