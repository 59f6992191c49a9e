"""Ids of mails: where they stand in the queue's indexes, and that they do not repeat."""

import asyncio

from mailbridge.model.ids import is_mail_id, new_mail_id
from tests.support.queue import new_mail, new_message

AT_S = 1_780_000_000.0
FRAME_BYTES = 4096 + 24


def test_ids_of_one_moment_stand_together_and_those_of_the_next_behind_them():
    """Whatever chance draws, an id sorts by its sixteenth of a second."""
    drawn = [[new_mail_id(AT_S + tick / 16) for _ in range(50)] for tick in range(20)]
    assert [min(ids)[:4] for ids in drawn] == sorted({id_[:4] for ids in drawn for id_ in ids})


def test_an_id_is_as_random_as_its_last_six_characters():
    """A thousand mails of one moment get a thousand ids, and the greatest draw still gives an id."""
    assert len({new_mail_id(AT_S) for _ in range(1000)}) == 1000
    assert is_mail_id(new_mail_id(AT_S, lambda bits: 2**bits - 1))
    assert is_mail_id(new_mail_id(0.0, lambda _bits: 0))


async def test_mails_of_one_moment_share_pages_of_the_queue(sqlite, tmp_path):
    """A commit of many mails writes a page or two of each index, and not one for each mail."""
    log = tmp_path / "queue.db-wal"

    async def put(at_s, count):
        """Put *count* mails at once; return how many pages went to the log."""
        before = log.stat().st_size
        ids = [new_mail_id(at_s) for _ in range(count)]
        await asyncio.gather(*(sqlite.put(new_mail(id_, new_message(f"{id_}.1"))) for id_ in ids))
        return (log.stat().st_size - before) // FRAME_BYTES

    for tick in range(10):
        await put(AT_S + tick, 100)
    assert await put(AT_S + 10, 40) <= 50
