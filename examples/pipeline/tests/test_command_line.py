import io
import subprocess
import sys
import unittest

from wordcount.__main__ import main


class CommandLine(unittest.TestCase):
    def run_main(self, *arguments, text=""):
        target = io.StringIO()
        status = main(list(arguments), io.StringIO(text), target)
        return status, target.getvalue()

    def test_words_are_listed_by_frequency(self):
        self.assertEqual(self.run_main(text="b a b"), (0, "     2 b\n     1 a\n"))

    def test_a_limit_cuts_the_list(self):
        self.assertEqual(self.run_main("1", text="b a b"), (0, "     2 b\n"))

    def test_a_wrong_argument_shows_the_usage(self):
        self.assertEqual(self.run_main("x"), (2, "usage: wordcount [LIMIT] < text\n"))

    def test_the_module_runs_as_a_program(self):
        done = subprocess.run(
            [sys.executable, "-m", "wordcount", "1"], input="a a b", capture_output=True, text=True, check=False
        )
        self.assertEqual((done.returncode, done.stdout), (0, "     2 a\n"))


if __name__ == "__main__":
    unittest.main()
