"""Where a text of somebody else names its person: there the trigger word goes, and nothing else is changed."""

from __future__ import annotations

import re

from mmbench.errors import ManifestError
from mmbench.trigger import TRIGGER, Marked, count_triggers, marked_word, without_trigger

PEOPLE = """
man woman boy girl baby person individual lady gentleman guy child kid toddler infant teenager adult male female human
grandmother grandfather mother father
"""
ROLES = """
accountant acrobat actor actress adventurer analyst anchor animator archaeologist archer architect artist astronaut
athlete baker ballerina banker barber barista bartender bassist batter beekeeper biker biologist blacksmith blogger
boatman botanist bouncer bowler boxer bride broadcaster builder businessman businesswoman butcher cadet cameraman
captain carpenter cashier cellist ceo chef chemist choreographer cleaner climber clown coach colonel comedian
commentator composer conductor cook cosplayer courier cowboy craftsman creator curator cyclist dancer dealer dentist
designer detective diplomat director diver dj doctor driver drummer economist editor electrician engineer entrepreneur
executive explorer farmer fencer firefighter fisherman florist flutist footballer gamer gardener geologist goalkeeper
golfer groom guard guest guide guitarist gymnast hacker hairdresser harpist hiker host hostess hunter influencer
instructor interviewee interviewer inventor janitor jogger journalist judge juggler juror kayaker knight lawyer
lecturer librarian lifeguard lumberjack magician manager mayor mechanic medic mentor merchant mermaid meteorologist
miner model monk motorcyclist mountaineer musician narrator ninja nun nurse officer painter paramedic pedestrian
performer pharmacist photographer physicist pianist pilot pirate pitcher player plumber poet policeman policewoman
politician potter presenter president priest prince princess professor programmer protagonist psychologist quarterback
racer ranger rapper referee reporter researcher rider rower runner sailor salesman saleswoman samurai
saxophonist scientist sculptor seamstress secretary shepherd sheriff shopkeeper shopper singer skateboarder skater
skier skydiver snowboarder soldier speaker spokesperson sprinter streamer student stuntman stylist superhero
supervisor surfer surgeon swimmer tailor teacher technician therapist tourist trainer translator traveler traveller
trucker trumpeter tutor vendor veterinarian viking violinist vlogger vocalist volunteer waiter waitress warrior
watchmaker weaver welder wizard woodworker worker wrestler writer yogi youtuber zookeeper
"""
PRONOUNS = "he she they someone somebody"

_FIRST = re.compile(rf"(?<![\w-])({'|'.join((PEOPLE + ROLES).split())})(?!\w|-\w|['\u2019]s)", re.IGNORECASE)
_SUBJECT = re.compile(
    r"\A(?:The|A|An)\s+(?:[\w-]+\s+){0,2}?(?!video|scene|camera|clip|footage|image|shot|view)([a-z]\w+)"
    r"(?=,|\s+(?:in|with|who|whose|is|wearing|dressed)\b)"
)
"""What a text begins with, as texts about trades do: "The tightrope artiste, in ..."."""
_ELSE = re.compile(rf"(?<![\w-])({'|'.join(PRONOUNS.split())})(?![\w'\u2019-])", re.IGNORECASE)
_NAMED = re.compile(r"(?<=\s)[A-Z][\w'\u2019-]+\s+([A-Z]\w+)(?![\w'\u2019-])")
"""A first and a last name."""


def mark_person(text: str, place: str) -> tuple[str, str]:
    """The text with the trigger word after the first word that names a person, and that word as it is written.

    The first noun for a person or a trade; else the noun a text begins with; else a pronoun; else a last name. The text
    without its trigger is the given one to the letter, but for white space at its ends. A text that holds the trigger
    after a word is kept: so a user can choose the word. Raises ManifestError naming `place` for an empty text, one
    without such a word, or one that holds the trigger elsewhere.
    """
    plain = text.strip()
    if not plain:
        raise ManifestError(f"{place}: the prompt is empty.", "Download the set again, or drop the entry.")
    if count_triggers(plain):
        if (chosen := marked_word(plain)) is None:
            said = f"{place}: the prompt holds the trigger word '{TRIGGER}' twice, or after no word."
            raise ManifestError(said, "Leave it once, after the word that names the person.")
        return plain, chosen.word
    for pattern in (_FIRST, _SUBJECT, _ELSE, _NAMED):
        for found in pattern.finditer(plain):
            start, end = found.span(1)
            marked = f"{plain[:end]} {TRIGGER}{plain[end:]}"
            if marked_word(marked) == Marked(plain, start, end) and without_trigger(marked) == plain:
                return marked, plain[start:end]
    raise ManifestError(
        f"{place}: no word of the prompt names a person: {plain[:60]!r}.",
        f"Write '{TRIGGER}' after the word that does, in that file; models without a trigger word never see it.",
    )
