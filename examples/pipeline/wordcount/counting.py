"""Words and how often they come."""

import re
from collections import Counter

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


def count_words(text):
    """Count words without regard to case; digits and signs are no words."""
    return Counter(word.casefold() for word in _WORD.findall(text))


def most_common(text, limit):
    """List the most frequent words, the alphabet deciding between equals."""
    if limit < 0:
        raise ValueError("limit must not be negative")
    counts = count_words(text)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:limit]
