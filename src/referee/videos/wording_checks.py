"""Whether a rephrased sentence says what the original said: nothing lost, nothing added.

A reply is foreign text. It is taken only where its numbers, units, names of metrics, levels, sides, comparisons and
negations are those of the original, one for one, and most of its other words too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from referee.videos.shapes import MetricCode

__all__ = ["find_deviation", "split_sentences"]

_END: Final = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9])")
_NUMBER: Final = re.compile(r"(?<![\w.])[-+−±]?\d+(?:[.,:]\d+)*")
_WORD: Final = re.compile(r"[a-z]+(?:['’][a-z]+)?|%|°|²")
_KEPT_WORDS: Final = """
one two three four five six seven eight nine ten eleven twelve hundred thousand half third quarter double twice once
both single several many few most none all every each any only first last

% ° ² ms s m km h px pixel pixels degree degrees second seconds frame frames picture pictures metre metres percent
trunk length lengths height width day days week times share interval

not no never without cannot nothing nobody neither nor except unless less more fewer least below above within
outside beyond under over between before after until earlier later higher lower left right front rear back up
down in out ahead behind than uncertain certain unknown insufficient measurable measured may might must should

low medium high level levels better worse best worst good bad
"""
_KEPT: Final = frozenset(_KEPT_WORDS.split())
"""Words that must be there as often as before, and may not be added: numbers and shares; units; negation, doubt,
comparison and place; levels."""
_VERDICTS: Final = """
injury injured injure pain hurt illegal throw throwing chuck chucking doctor surgery diagnosis disease risk danger
dangerous weak strong talent excellent poor perfect terrible guarantee guaranteed proven always
"""
_FORBIDDEN: Final = frozenset(_VERDICTS.split())
"""Verdicts that no measurement here gives; allowed only where the original has them."""
_CONTRACTED: Final = re.compile(r"n['’]t$")
_MAX_GROWTH: Final = 1.6
_MIN_KEPT_SHARE: Final = 0.5
_MAX_NEW_SHARE: Final = 0.4
_STEM_CHARS: Final = 5
_MIN_CONTENT_CHARS: Final = 4


def split_sentences(text: str) -> tuple[str, ...]:
    """Return the sentences of a text; joined with blanks they are the text again."""
    return tuple(_END.split(text))


def find_deviation(original: str, reworded: str, names: Sequence[str] = ()) -> str:
    """Return what a rephrased sentence lost or added, empty when nothing.

    Args:
        original: By the rules.
        reworded: By the model.
        names: Further phrases that must be kept as they are: titles of findings.
    """
    if not reworded.strip() or len(reworded) > _MAX_GROWTH * len(original) + 20:
        return "length"
    if not reworded.isprintable() or re.search(r"[<>{}\[\]`*_#|\\]|https?:|www\.", reworded):
        return "markup"
    if len(split_sentences(reworded)) != len(split_sentences(original)):
        return "sentences"
    if _count_numbers(original) != _count_numbers(reworded):
        return "numbers"
    for name in (*(one.value.replace("_", " ") for one in MetricCode), *names):
        if original.lower().count(name.lower()) != reworded.lower().count(name.lower()):
            return "names"
    before, after = _count_words(original), _count_words(reworded)
    for word in _KEPT:
        if before[word] != after[word]:
            return "kept_words"
    if any(word in _FORBIDDEN and word not in before for word in after):
        return "verdicts"
    if _find_capitals(reworded) - _find_capitals(original) - _find_first(original):
        return "proper_names"
    return _compare_content(before, after)


def _compare_content(before: Counter[str], after: Counter[str]) -> str:
    """Compare what is left: most of it must be there, and little may be new."""
    old, new = _stems(before), _stems(after)
    if len(old & new) < _MIN_KEPT_SHARE * len(old):
        return "lost_words"
    return "added_words" if len(new - old) > max(2, _MAX_NEW_SHARE * len(old)) else ""


def _count_numbers(text: str) -> Counter[str]:
    return Counter(number.replace("−", "-") for number in _NUMBER.findall(text))


def _count_words(text: str) -> Counter[str]:
    words: Counter[str] = Counter()
    for word in _WORD.findall(text.lower()):
        if _CONTRACTED.search(word):
            words["not"] += 1
        else:
            words[word.partition("'")[0].partition("’")[0]] += 1
    words["not"] += words.pop("cannot", 0)
    return words


def _stems(words: Counter[str]) -> set[str]:
    return {word[:_STEM_CHARS] for word in words if len(word) >= _MIN_CONTENT_CHARS and word not in _KEPT}


def _find_capitals(text: str) -> set[str]:
    """Return words that are written with a capital although no sentence begins with them."""
    found = set()
    for sentence in split_sentences(text):
        found |= {word.lower() for word in re.findall(r"(?<=[\s(])[A-Z][A-Za-z]+", sentence)}
    return found


def _find_first(text: str) -> set[str]:
    return {
        sentence.split()[0].strip(".,:;").lower() for sentence in split_sentences(text) if sentence.split()
    }
