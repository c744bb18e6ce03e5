"""Updates as an attacker, a clumsy person or a broken network could make them: none of them may do anything.

Each is a random one of FORGERIES, made from a seeded source: the same seed, the same updates.  `commands` are what
they try to have carried out, words of real confirmations among them.
"""

import random
import time

from tests.telegram.bot_api import CHAT, USER, message_update

__all__ = ["FORGERIES", "forged"]

GROUP = -1_001_234_567
STRANGER = 777_000_222
OLD_S = 1_000_000


def _stranger(rnd, number, text):
    return message_update(number, text, chat=STRANGER, user=STRANGER)


def _user_elsewhere(rnd, number, text):
    """The allowed user, in another chat."""
    return message_update(number, text, chat=rnd.choice([STRANGER, GROUP]), user=USER)


def _stranger_in_our_chat(rnd, number, text):
    """A chat's id with another user in it, as a group has them."""
    kind = rnd.choice(["private", "group", "supergroup"])
    return message_update(number, text, chat=CHAT, user=STRANGER, chat_type=kind)


def _our_user_in_a_group_of_our_id(rnd, number, text):
    return message_update(number, text, chat_type=rnd.choice(["group", "supergroup"]))


def _forwarded(rnd, number, text):
    origin = rnd.choice(
        [
            {"type": "user", "date": 1, "sender_user": {"id": USER, "is_bot": False, "first_name": "Ann"}},
            {"type": "hidden_user", "date": 1, "sender_user_name": "Ann"},
            {"type": "channel", "date": 1, "chat": {"id": GROUP, "type": "channel", "title": "c"}, "message_id": 3},
        ]
    )
    return message_update(number, text, forward_origin=origin)


def _edited(rnd, number, text):
    update = message_update(number, text, edit_date=int(time.time()))
    return {"update_id": number, "edited_message": update["message"]}


def _edited_in_place(rnd, number, text):
    return message_update(number, text, edit_date=int(time.time()))


def _button(rnd, number, text):
    message = message_update(number, "pressed")["message"]
    sender = {"id": rnd.choice([USER, STRANGER]), "is_bot": False, "first_name": "Ann"}
    query = {"id": str(number), "from": sender, "chat_instance": "1", "data": text, "message": message}
    return {"update_id": number, "callback_query": query}


def _channel_post(rnd, number, text):
    message = message_update(number, text, chat=rnd.choice([CHAT, GROUP]), chat_type="channel")["message"]
    del message["from"]
    return {"update_id": number, rnd.choice(["channel_post", "edited_channel_post"]): message}


def _inline(rnd, number, text):
    sender = {"id": USER, "is_bot": False, "first_name": "Ann"}
    return {"update_id": number, "inline_query": {"id": "1", "from": sender, "query": text, "offset": ""}}


def _business(rnd, number, text):
    return {"update_id": number, "business_message": message_update(number, text)["message"]}


def _stale(rnd, number, text):
    return message_update(number, text, date=int(time.time()) - rnd.randrange(90, OLD_S))


def _future(rnd, number, text):
    return message_update(number, text, date=int(time.time()) + rnd.randrange(3_600, OLD_S))


def _via_bot(rnd, number, text):
    return message_update(number, text, via_bot={"id": 9, "is_bot": True, "first_name": "b", "username": "b_bot"})


def _as_a_chat(rnd, number, text):
    return message_update(number, text, sender_chat={"id": rnd.choice([GROUP, CHAT]), "type": "channel", "title": "c"})


def _by_a_bot(rnd, number, text):
    update = message_update(number, text)
    update["message"]["from"]["is_bot"] = True
    return update


def _caption(rnd, number, text):
    photo = [{"file_id": "f", "file_unique_id": "u", "width": 1, "height": 1}]
    return message_update(number, None, caption=text, photo=photo)


def _too_long(rnd, number, text):
    return message_update(number, text + rnd.choice([" ", "\n", "a", "_"]) * rnd.randrange(200, 4_000))


def _for_another_bot(rnd, number, text):
    head, _, tail = text.partition(" ")
    return message_update(number, f"{head}@another_bot {tail}".strip())


def _garbled(rnd, number, text):
    place = rnd.randrange(1, len(text) + 1)
    noise = rnd.choice([" /", "\x00", "=", "🙂", "..", "__", " x y "])
    return message_update(number, text[:place] + noise + text[place:])


def _wrong_word(rnd, number, text):
    word = "".join(rnd.choices("abcdefghjkmnpqrstuvwxyz23456789", k=8))
    return message_update(number, f"/{rnd.choice(['kill', 'flatten', 'resume'])}_{word}")


FORGERIES = (
    _stranger, _user_elsewhere, _stranger_in_our_chat, _our_user_in_a_group_of_our_id, _forwarded, _edited,
    _edited_in_place, _button, _channel_post, _inline, _business, _stale, _future, _via_bot, _as_a_chat, _by_a_bot,
    _caption, _too_long, _for_another_bot, _garbled, _wrong_word,
)  # fmt: skip


def forged(count, *, seed, commands, first_id=5_000_000, forgeries=FORGERIES):
    """So many forged updates; some of them twice."""
    rnd = random.Random(seed)
    updates = []
    for number in range(first_id, first_id + count):
        if updates and rnd.random() < 0.05:
            updates.append(rnd.choice(updates[-50:]))
        else:
            updates.append(rnd.choice(forgeries)(rnd, number, rnd.choice(commands)))
    return updates
