import unittest

from wordcount import count_words, most_common


class Counting(unittest.TestCase):
    def test_case_does_not_matter(self):
        self.assertEqual(count_words("The the THE"), {"the": 3})

    def test_signs_and_digits_are_no_words(self):
        self.assertEqual(count_words("1, 2 - three_four!"), {"three": 1, "four": 1})

    def test_an_apostrophe_stays_inside_of_a_word(self):
        self.assertEqual(count_words("don't 'quote'"), {"don't": 1, "quote": 1})

    def test_nothing_has_no_words(self):
        self.assertEqual(count_words(""), {})

    def test_the_alphabet_decides_between_equals(self):
        self.assertEqual(most_common("b a c a b", 2), [("a", 2), ("b", 2)])

    def test_a_negative_limit_is_refused(self):
        with self.assertRaises(ValueError):
            most_common("a", -1)


if __name__ == "__main__":
    unittest.main()
