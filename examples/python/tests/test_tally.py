import unittest

from tally import tally


class TallyTest(unittest.TestCase):
    def test_frequent_words_come_first(self):
        self.assertEqual(tally("b a b"), [("b", 2), ("a", 1)])

    def test_case_does_not_count(self):
        self.assertEqual(tally("The the THE"), [("the", 3)])

    def test_ties_are_in_the_order_of_the_alphabet(self):
        words = {"kiwi", "fig", "apple", "pear", "lime", "plum"}
        # The order of a set changes with PYTHONHASHSEED, the answer must not.
        self.assertEqual([word for word, _ in tally(" ".join(words))], sorted(words))

    def test_nothing_is_no_word(self):
        self.assertEqual(tally(" ,.!"), [])
