"""How much a text looks like Russian, or like a Western language: what tells a charset that lies.

Used by ``charset`` alone; pure counting, no I/O.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: how often a letter stands in Russian, in three steps
_COMMON = frozenset("оеаинтсрлв")
_USUAL = frozenset("кмдпуяыьгзбчй")
_SELDOM = frozenset("хжшюцщэфёъ")
_RUSSIAN = _COMMON | _USUAL | _SELDOM
#: pairs that make up more than half of all letter pairs in running Russian text
_PAIRS = _words(
    "ав ак ал ам ан ар ат ач ая бк бо ва ве ви вн во вс вт вы го гр да де ди дл до ду ег ед ел ем ен ер ес ет "
    "же за зе иб ие из ии ий ил им ин ис ит их ич ию ия ка ки ко ку ла ле ли ло ля ме ми мо мп мы мя на не ни "
    "нл нн но ну об ов ог од ой ок ол ом он ор ос от оч ош па пе пи по пр пу пь ра рв ре ри рк ро ру св се ск "
    "см ср ст су сь ся та тв те ти тк то тр ту ть уж уз ус уч уш це че чт ша ше ши ща щи ые ый ым ью эт ят"
)
_LATIN_LETTERS = frozenset("éèêëàâäáãåæçíìîïñóòôöõøúùûüýßÉÈÀÂÄÁÅÆÇÖØÜÓÑ")
_MARKS = frozenset("°±«»–—…№©®§·“”„’‘•€ ")
_MIXED_CASE = 3.0
_WRONG = 3.0


def cyrillic_score(text: str) -> float:
    """Return how Russian the letters above ASCII look, per letter: about 2 for prose, below 0.5 for a wrong table."""
    total, count, previous = 0.0, 0, " "
    for char in text:
        if char > "\x7f":
            count += 1
            total += _letter(char, previous)
        elif previous > "\x7f" and char.isalnum() and previous.lower() in _RUSSIAN:
            # a Latin letter or a digit straight after a Russian one is rare
            total -= 1.0
        previous = char
    return total / count if count else 0.0


def _letter(char: str, previous: str) -> float:
    lower = char.lower()
    if lower not in _RUSSIAN:
        if char in _MARKS:
            return 0.5
        # Ukrainian, Belarusian, Serbian letters are letters; boxes and controls inside text are none
        return -1.0 if char in "іїєґўІЇЄҐЎ" else -_WRONG
    worth = 1.5 if lower in _COMMON else 0.8 if lower in _USUAL else -0.5
    if char != lower:
        worth -= 0.3
        if previous.islower():
            worth -= _MIXED_CASE
    elif previous.isupper() and previous.lower() not in _RUSSIAN:
        worth -= 0.5
    if previous.lower() + lower in _PAIRS:
        worth += 1.0
    elif previous.isascii() and previous.isalnum():
        worth -= 1.0
    return worth


def latin_score(text: str) -> float:
    """Return how Western the letters above ASCII look: accents stand alone among plain letters."""
    total, count, previous = 0.0, 0, " "
    for char in text:
        if char > "\x7f":
            count += 1
            if previous > "\x7f" and previous.isalpha():
                total -= _WRONG
            elif char in _LATIN_LETTERS:
                total += 1.6 if previous.isascii() and previous.isalpha() else 0.9
            else:
                total += 0.6 if char in _MARKS else -1.0
        previous = char
    return total / count if count else 0.0
