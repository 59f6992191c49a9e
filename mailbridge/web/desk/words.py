"""The desk's words in Russian, by the English ones that stand in the pages. Pure.

A test looks for every word of the pages here.
"""

from __future__ import annotations

from collections.abc import Callable

LANGUAGES = ("en", "ru")
COOKIE = "mailbridge-language"

_RUSSIAN = {
    # navigation
    "Messages": "Сообщения", "Send": "Отправить", "Try": "Проверить", "Gateways": "Шлюзы", "Plots": "Графики",
    "Refused": "Отклонено", "On call": "Дежурство", "Settings": "Настройки", "Sign out": "Выйти",
    "Sign in": "Войти", "Name": "Имя", "Password": "Пароль", "Menu": "Меню", "Skip to the content": "К содержанию",
    "Language": "Язык", "Dark or light": "Тёмная или светлая",
    "Wrong name or password.": "Неверное имя или пароль.",
    "Too many tries. Wait ten minutes.": "Слишком много попыток. Подождите десять минут.",
    "This form is too old. Try again.": "Форма устарела. Попробуйте ещё раз.",
    "You may not do this.": "Это вам не разрешено.", "There is nothing here.": "Здесь ничего нет.",
    "The queue cannot be asked now. Try again.": "Очередь сейчас не отвечает. Попробуйте ещё раз.",
    "Something broke. The log says what.": "Что-то сломалось. Что именно, сказано в журнале.",
    "This cannot be done": "Это невозможно",
    # lists
    "Search": "Искать", "Text, subject": "Текст, тема", "Phone": "Телефон", "Sender": "Отправитель",
    "State": "Состояние", "any": "любое", "Since": "С", "Show": "Показать", "Clear": "Сбросить", "Created": "Создано",
    "Text": "Текст", "Last error": "Последняя ошибка", "Tries": "Попыток", "Parts": "Частей", "Id": "Номер",
    "Nothing found here.": "Здесь ничего не найдено.", "Older": "Раньше",
    "Look further back": "Искать дальше в прошлом",
    "The search came this far; older messages were not looked at yet.":
        "Поиск дошёл досюда; более старые сообщения ещё не просмотрены.",
    "Download as CSV": "Скачать CSV", "live": "обновляется", "Waiting": "Ждут", "Troubled": "Не удалось",
    "messages": "сообщений",
    # states
    "queued": "в очереди", "sending": "отправляется", "unknown": "неизвестно", "sent": "отправлено",
    "delivered": "доставлено", "undelivered": "не доставлено", "expired": "просрочено", "failed": "отказано",
    "cancelled": "отменено", "held": "задержано", "suppressed": "подавлено",
    # a message
    "Message": "Сообщение", "Timeline": "Ход событий", "received": "получено", "attempt": "попытка",
    "deferred": "отложено", "refused": "отказано шлюзом", "bounced": "отправитель извещён", "From": "От",
    "Subject": "Тема", "Client": "Клиент", "Gateway": "Шлюз", "Gateway ids": "Номера у шлюза", "Price": "Цена",
    "Rule": "Правило", "Profile": "Профиль", "Alphabet": "Алфавит", "Expires": "Истекает",
    "Next attempt": "Следующая попытка", "Original mail": "Исходное письмо",
    "none was kept": "не сохранено", "The text that was chosen": "Выбранный текст", "retry": "повторить",
    "hold": "задержать", "release": "отпустить", "cancel": "отменить", "resend": "отправить ещё раз",
    "acknowledge": "принять на себя", "Somebody has to answer": "Кто-то должен ответить",
    "Steps taken": "Пройдено шагов", "Next look": "Следующая проверка", "open": "ответа ещё нет",
    "acknowledged": "ответ получен", "exhausted": "никто не ответил",
    "Other messages of this mail": "Другие сообщения этого письма", "Done.": "Сделано.",
    # sending
    "To": "Кому", "phones or names, one a line": "телефоны или имена, по одному в строке",
    "Sender name": "Имя отправителя", "Transliteration": "Транслитерация", "as configured": "как в настройках",
    "Most parts": "Не больше частей", "Count": "Посчитать", "characters": "символов", "part": "часть",
    "parts": "частей",
    "each": "за каждое", "Queued": "В очереди", "price unknown": "цена неизвестна",
    # trying
    "Paste a mail": "Вставьте письмо", "Recipient address": "Адрес получателя",
    "Envelope sender": "Отправитель конверта",
    "Client address": "Адрес клиента", "Explain": "Объяснить", "accepted": "принято", "Step": "Шаг",
    "Result": "Итог", "Because": "Почему", "Line of the configuration": "Строка настроек",
    "What would be sent": "Что было бы отправлено", "Nothing is sent and nothing is kept.":
        "Ничего не отправляется и не сохраняется.",
    # gateways
    "up": "работает", "suspended": "приостановлен", "Balance": "Баланс", "Spent today": "Потрачено сегодня",
    "Spent this month": "Потрачено за месяц", "days left": "дней осталось", "probe": "проверить",
    "suspend": "приостановить", "resume": "возобновить", "since": "с", "Callback page": "Страница обратного вызова",
    "Ask for the balance": "Спросить баланс", "no answer": "нет ответа",
    # plots
    "Messages by hour": "Сообщения по часам", "Parts by hour": "Части по часам", "Messages by day": "Сообщения по дням",
    "Parts by day": "Части по дням", "Seconds to the gateway": "Секунд до шлюза",
    "Seconds to the handset": "Секунд до телефона", "Spent by day": "Потрачено по дням",
    "half of them within": "половина за", "nearly all within": "почти все за", "1 day": "1 день", "7 days": "7 дней",
    "30 days": "30 дней", "The same as a table": "То же таблицей", "Hour or day": "Час или день", "other": "прочее",
    "waiting": "ждут", "troubled": "не удалось",
    # refused
    "What the door refused lately, like refusals as one.": "Что недавно отклонено на входе; одинаковое вместе.",
    "When last": "Последний раз", "How often": "Сколько раз", "About": "О чём", "Answer": "Ответ",
    "This line would allow it": "Эта строка разрешит", "Nothing was refused since the start.":
        "С запуска ничего не отклонялось.",
    "Refusals of worker processes are in the log alone.": "Отказы рабочих процессов есть только в журнале.",
    # duty
    "There are no rotas.": "Расписаний дежурств нет.", "now": "сейчас", "Who": "Кто",
    "nobody is known": "никто не известен",
    # settings
    "The configuration in force, as loaded; secrets are hidden.":
        "Действующие настройки, как загружены; секреты скрыты.",
    "Version": "Версия",
}  # fmt: skip


def translator(language: str) -> Callable[[str], str]:
    """Return what says an English word in *language*."""
    return (lambda word: _RUSSIAN.get(word, word)) if language == "ru" else str


def knows(word: str) -> bool:
    """Tell whether *word* can be said in Russian."""
    return word in _RUSSIAN


def choose(cookie: str | None, accepted: str) -> str:
    """Return the language: what was chosen, else the best of *accepted* (RFC 9110 12.5.4), else English."""
    if cookie in LANGUAGES:
        return cookie
    wanted = []
    for place, part in enumerate(accepted[:200].split(",")):
        name, _, quality = part.strip().partition(";q=")
        try:
            wanted.append((-float(quality or 1), place, name.partition("-")[0].lower()))
        except ValueError:
            continue
    return next((name for _, _, name in sorted(wanted) if name in LANGUAGES), "en")
