"""How much a text looks like Russian, or like a Western language: what tells a charset that lies.

Used by ``charset`` alone; pure counting, no I/O.
"""

from __future__ import annotations

#: how often a letter stands in Russian, in three steps
_COMMON = frozenset("оеаинтсрлв")
_USUAL = frozenset("кмдпуяыьгзбчй")
_SELDOM = frozenset("хжшюцщэфёъ")
_RUSSIAN = _COMMON | _USUAL | _SELDOM
#: pairs that make up more than half of all letter pairs in running Russian text
_PAIRS = frozenset(
    [
        "ст",
        "но",
        "ен",
        "то",
        "на",
        "ов",
        "ни",
        "ра",
        "во",
        "ко",
        "не",
        "по",
        "ер",
        "ро",
        "го",
        "ан",
        "ре",
        "пр",
        "ал",
        "ли",
        "та",
        "ос",
        "ка",
        "ол",
        "ор",
        "от",
        "од",
        "ет",
        "ом",
        "ил",
        "ти",
        "ел",
        "ло",
        "ес",
        "ле",
        "ть",
        "ла",
        "ит",
        "ат",
        "те",
        "де",
        "ак",
        "мо",
        "ве",
        "за",
        "ем",
        "ам",
        "ва",
        "ри",
        "ск",
        "ть",
        "из",
        "ин",
        "ис",
        "об",
        "ог",
        "ой",
        "ые",
        "ый",
        "ая",
        "ия",
        "ие",
        "ть",
        "ся",
        "ию",
        "их",
        "ми",
        "бо",
        "до",
        "да",
        "см",
        "ше",
        "же",
        "ош",
        "ши",
        "иб",
        "бк",
        "вы",
        "ым",
        "ич",
        "че",
        "ес",
        "ки",
        "ки",
        "ту",
        "ус",
        "ср",
        "ед",
        "дл",
        "ля",
        "ят",
        "чт",
        "эт",
        "мы",
        "тр",
        "су",
        "сь",
        "вс",
        "св",
        "вн",
        "нн",
        "им",
        "ии",
        "ий",
        "ок",
        "ро",
        "ов",
        "ве",
        "ер",
        "рк",
        "се",
        "рв",
        "ви",
        "ди",
        "ис",
        "ск",
        "ме",
        "тк",
        "ку",
        "ко",
        "он",
        "ну",
        "уз",
        "зе",
        "ел",
        "пе",
        "ре",
        "ег",
        "гр",
        "уж",
        "же",
        "ен",
        "ка",
        "ан",
        "нл",
        "ал",
        "па",
        "ам",
        "мя",
        "ят",
        "ош",
        "оч",
        "уч",
        "ач",
        "ав",
        "ав",
        "ар",
        "ру",
        "уш",
        "ша",
        "ть",
        "тв",
        "ва",
        "ща",
        "це",
        "щи",
        "щи",
        "пи",
        "па",
        "пу",
        "ту",
        "ду",
        "мп",
        "пь",
        "вт",
        "ту",
        "но",
        "ст",
        "ью",
    ]
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
