"""`python3 -m wordcount [LIMIT] < text`."""

import sys

from wordcount.counting import most_common


def main(arguments, source, target):
    """Print the most frequent words of `source`; give the exit status."""
    if len(arguments) > 1 or not all(a.isdigit() for a in arguments):
        print("usage: wordcount [LIMIT] < text", file=target)
        return 2
    limit = int(arguments[0]) if arguments else 10
    for word, count in most_common(source.read(), limit):
        print(f"{count:6} {word}", file=target)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdin, sys.stdout))
