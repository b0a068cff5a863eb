"""Counts the words of a text."""

from wordcount.counting import count_words, most_common

__all__ = ["count_words", "most_common"]
